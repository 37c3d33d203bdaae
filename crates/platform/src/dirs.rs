//! Where this system keeps the files of a service, and what rules must know about the machine.
//!
//! | what | Linux | Windows |
//! |---|---|---|
//! | configuration | `/etc/tollgate/tollgate.toml` | `%ProgramData%\Tollgate\tollgate.toml` |
//! | rules | `/etc/tollgate/rules` | `%ProgramData%\Tollgate\rules` |
//! | state | `/var/lib/tollgate` | `%ProgramData%\Tollgate\state` |
//!
//! Rules are policy: everybody may read them, administrators write them. State tells who connected where: only the
//! service and administrators read it. `%ProgramData%` lets every user create folders, so a folder there is ours only
//! once [`create`] has set its access, which [`create_all`] does for all of them. Neighbours: `linux::dirs` and `windows::dirs` do it.

#[cfg(unix)]
pub use crate::linux::dirs::{config_file, create, create_own, environment, rules, state};
#[cfg(windows)]
pub use crate::windows::dirs::{config_file, create, create_own, environment, rules, state};

use crate::tree;
use std::io;

/// Who may enter a folder, besides administrators and the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody may read: configuration, rules.
    Everybody,
    /// Nobody: state.
    Nobody,
}

/// What rules must know about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Program paths have `\` and no case; else `/`, and case matters.
    pub has_windows_paths: bool,
    /// Variables that mean the same for the whole machine: upper-case name, value.
    pub variables: Vec<(String, String)>,
    /// The program that resolves names for the others.
    pub resolver: Option<String>,
}

/// Creates the usual folders, those of layers and lists included, or sets their access.
pub fn create_all() -> io::Result<()> {
    let (config, rules) = (config_file(), rules());
    if let Some(folder) = config.parent() {
        create(folder, Readers::Everybody)?;
    }
    create(&rules, Readers::Everybody)?;
    for folder in tree::LAYERS.into_iter().chain([tree::SETS]) {
        create(&rules.join(folder), Readers::Everybody)?;
    }
    create(&state(), Readers::Nobody)
}
