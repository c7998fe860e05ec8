//! How a command ends badly: one sentence that says what to do, and an exit code that a script
//! can tell apart.

use std::{io, process::ExitCode};

use eventwall_log::OpenError;

/// What the exit codes mean, for the help text.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  it is done (also when the reader of a pipe went away)
  1  something failed
  2  the command line makes no sense
  3  the address cannot be listened on
  4  the data directory, or the hub in NATS, cannot be used
  5  the log is damaged
  6  the server, or NATS, cannot be reached, or refused";

/// The end of a command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    /// It may go better a little later.
    passing: bool,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), passing: false }
    }

    pub(crate) fn general(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    pub(crate) fn listen(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::new(4, message)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(5, message)
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(6, message)
    }

    /// Of a server that may be back a little later.
    pub(crate) fn passing(self) -> Self {
        Self { passing: true, ..self }
    }

    pub(crate) fn is_passing(&self) -> bool {
        self.passing
    }

    /// Says where, before what.
    pub(crate) fn in_front(mut self, place: &str) -> Self {
        self.message.insert_str(0, place);
        self
    }

    /// Says it once, on standard error.
    pub(crate) fn report(self) -> ExitCode {
        if self.code != 0 {
            eprintln!("eventwall: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = if matches!(error, OpenError::Damaged { .. }) { 5 } else { 4 };
        Self::new(code, error.to_string())
    }
}

impl From<eventwall_jetstream::OpenError> for Failure {
    fn from(error: eventwall_jetstream::OpenError) -> Self {
        use eventwall_jetstream::OpenError;
        let here = matches!(error, OpenError::Mismatch(_) | OpenError::File { .. });
        Self::new(if here { 4 } else { 6 }, error.to_string())
    }
}

/// Failures of standard output: a reader that went away is no error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = u8::from(error.kind() != io::ErrorKind::BrokenPipe);
        Self::new(code, error.to_string())
    }
}
