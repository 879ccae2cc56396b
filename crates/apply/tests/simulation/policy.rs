//! What stands between a request and the store: an admission policy that somebody set up.

use apply::{Call, ClusterError};

use super::world::World;

/// The refusal of a request, if the policy of the hour has one.
pub(crate) fn judge(world: &World, call: &Call) -> Option<ClusterError> {
    let at = match call {
        Call::Apply { .. } | Call::Create { .. } | Call::Update { .. } | Call::Patch { .. } => call.reference()?,
        _ => return None,
    };
    let refused = world.state().ledger.policy.clone()?;
    let is_hit = at.namespace == super::repository::NAMESPACE && at.gvk.kind == refused;
    let message = "admission webhook \"policy.example.com\" denied the request: not now".to_owned();
    is_hit.then(|| ClusterError::Refused { id: Some(at.id()), message, fields: Vec::new() })
}
