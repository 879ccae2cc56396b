//! To be written.

use std::sync::Arc;

use manifest::Object;

use super::{Error, Key, Shared, Told};
use crate::status::Next;

pub(super) async fn reconcile(_: &Key, _: &Object, _: &Arc<Shared>) -> Result<Told, Error> {
    Ok(Told::nothing(Next::OnEvent))
}
