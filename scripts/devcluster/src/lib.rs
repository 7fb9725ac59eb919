//! A real Kubernetes on one Linux machine, without Docker.
//!
//! [`ControlPlane`] is etcd and the API server on loopback, for tests: no root, several at once, gone on drop.
//! [`Node`] is a machine of its own in namespaces: kubelet, containerd, cluster DNS, storage; pods really run.
//! Both run the released programs, built once by [`tool`] from their Go modules and kept in a cache.

mod cache;
mod certs;
mod components;
mod control_plane;
mod kubeconfig;
mod node;
mod process;
mod progress;
mod tools;

pub use certs::Identity;
pub use control_plane::{ControlPlane, Options};
pub use node::{Node, Source, Status};
pub use progress::Progress;
pub use tools::{Tool, tool, tools};
