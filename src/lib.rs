//! Brings an observability stack up on a Kubernetes cluster, and takes it away again.
//!
//! A stack is data; `up` makes a plan from it, an engine carries the plan out against one cluster and says what happens
//! as events, and reporters show these.

pub mod apply;
pub mod changeset;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod delete;
pub mod diagnose;
pub mod engine;
pub mod error;
pub mod event;
mod evidence;
pub mod fields;
pub mod finding;
pub mod helm;
pub mod inventory;
pub mod lease;
pub mod live;
pub mod manifest;
pub mod object;
pub mod plan;
pub mod preflight;
pub mod report;
pub mod rights;
pub mod secret;
pub mod stack;
pub mod status;
pub mod storage;
mod timeout;
pub mod verdict;
pub mod verify;
pub mod wait;
pub mod yaml;
