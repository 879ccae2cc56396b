//! The release record.
