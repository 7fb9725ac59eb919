//! Brings an observability stack up on a Kubernetes cluster, and takes it away again.
