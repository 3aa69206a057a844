//! Where output goes decides how it looks: colours and progress are for terminals only.

use std::io::IsTerminal;

/// Whether messages to a person may be coloured.
pub(super) fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
