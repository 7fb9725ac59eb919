//! A real Kubernetes on one Linux machine, without Docker.
//!
//! [`ControlPlane`] is etcd and the API server on loopback, for tests: no root, several at once, gone on drop.
//! [`Cluster`] is one machine or several, each in namespaces of its own: kubelet, containerd, storage; pods really run.
//! Both run the released programs, built once by [`tool`] from their Go modules and kept in a cache.

mod cache;
mod certs;
mod cluster;
mod components;
mod control_plane;
mod kubeconfig;
mod node;
mod process;
mod progress;
mod tools;

pub use certs::{Identity, ServingCertificate};
pub use cluster::{Cluster, Source, Status};
pub use control_plane::{ControlPlane, Options, Version};
pub use process::Group;
pub use progress::Progress;
pub use tools::{Tool, tool, tools};
