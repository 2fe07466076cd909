//! What ends an evening, as an exit code and with what to do.

use lanparty_api::cli::{ExitCode, Failure};
use lanparty_os::{dhcp::DhcpError, dirs::DirError, transaction::TransactionError};

use crate::adapter::AdapterError;

pub fn unexpected(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(ExitCode::Unexpected, error)
}

pub fn state_failure(error: DirError) -> Failure {
    match error {
        DirError::InUse { .. } => Failure::new(ExitCode::AlreadyRunning, error),
        DirError::Io { .. } | DirError::NoDefault => Failure::new(ExitCode::Host, error),
    }
}

pub fn transaction_failure(error: TransactionError) -> Failure {
    match error {
        TransactionError::OwnerAlive { .. } => Failure::new(ExitCode::AlreadyRunning, error),
        error => Failure::new(ExitCode::Host, error),
    }
}

pub fn adapter_failure(error: AdapterError) -> Failure {
    Failure::new(ExitCode::Host, error)
}

pub fn dhcp_failure(error: DhcpError) -> Failure {
    Failure::new(ExitCode::Host, error).advise("or leave --dhcp out and give the adapter an address by hand")
}
