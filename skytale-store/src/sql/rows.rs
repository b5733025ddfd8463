//! Reads of columns from rows, and the error of a whole transaction.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sea_orm::{DbErr, QueryResult, TryGetable};

use super::statements;
use crate::error::{Result, StoreError};

/// A database error that every caller of one transaction gets as the cause of its own error.
#[derive(Clone, Debug)]
pub(crate) struct SharedDbErr(Arc<DbErr>);

impl From<DbErr> for SharedDbErr {
    fn from(error: DbErr) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for SharedDbErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedDbErr {}

/// Reads a column of a row.
pub(crate) fn column<T: TryGetable>(row: &QueryResult, name: &str) -> Result<T> {
    row.try_get("", name).map_err(StoreError::unavailable)
}

/// Reads a column that holds a time.
pub(crate) fn time_column(row: &QueryResult, name: &str) -> Result<SystemTime> {
    column(row, name).map(statements::time)
}

/// Reads a column that may hold a time.
pub(crate) fn optional_time(row: &QueryResult, name: &str) -> Result<Option<SystemTime>> {
    Ok(column::<Option<i64>>(row, name)?.map(statements::time))
}
