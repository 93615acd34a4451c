//! What a manifest may do to a configured tree, as data: the customisation layer applies these in the given order.

use std::path::PathBuf;

use serde::Serialize;

use bedstone_store::Digest;

/// One change to the configured tree.
///
/// Paths are absolute paths inside the image (`/etc/issue`). They are resolved inside the tree: a symbolic link never
/// leads out of it. Missing parent directories are made with mode 0755, owned by root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// Writes a regular file, replacing what is there. A symbolic link at `path` itself is replaced, not followed.
    File {
        /// Where.
        path: String,
        /// The content.
        content: Vec<u8>,
        /// Permission bits, `0o644`.
        mode: u32,
        /// Owner and group.
        owner: Owner,
    },
    /// Makes a directory, or sets mode and owner of an existing one.
    Directory {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Owner and group.
        owner: Owner,
    },
    /// Copies what a directory of the build machine holds into the directory `path`: directories with mode 0755, files
    /// with mode 0644, or 0755 where they are executable, symbolic links verbatim, all owned by root.
    Tree {
        /// Where.
        path: String,
        /// The directory on the build machine. Not part of the cache key: `digest` is.
        #[serde(skip)]
        source: PathBuf,
        /// Stands for the content, given by who declares it.
        digest: Digest,
    },
    /// Makes a symbolic link, replacing a file or link that is there.
    Symlink {
        /// Where the link is.
        path: String,
        /// What it says, verbatim.
        target: String,
    },
    /// Sets mode and owner of an existing file or directory; either may be left as it is.
    Attributes {
        /// Which.
        path: String,
        /// New permission bits.
        mode: Option<u32>,
        /// New owner and group.
        owner: Option<Owner>,
    },
    /// Removes a file, or a directory with all that it holds. A path that does not exist is an error, so that a typo or
    /// a path that Debian renamed does not silently leave the file in.
    Remove {
        /// Which.
        path: String,
    },
    /// Adds a group, or adds members to an existing one.
    Group(Group),
    /// Adds a user with its primary group.
    User(User),
    /// Sets the password of an existing user.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Password,
    },
    /// Gives every account with a password hash the ages of the tree's `/etc/login.defs`, as `useradd` does, and makes
    /// sure that no other has a maximum: an age of a password that nobody has would end logins by key.
    PasswordAges,
    /// Enables, disables or masks a systemd unit.
    Unit {
        /// Name with suffix: `nftables.service`, `getty@ttyS0.service`.
        unit: String,
        /// What to do with it.
        action: UnitAction,
    },
    /// Points `default.target` at a target: `multi-user.target`.
    DefaultTarget {
        /// The target.
        target: String,
    },
    /// Runs a script in the sandbox, as root of the tree, without network.
    Script(Script),
}

/// Owner and group by name, as found in the tree's `/etc/passwd` and `/etc/group` when the change is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
}

impl Owner {
    /// `root:root`.
    pub fn root() -> Self {
        Self {
            user: "root".to_owned(),
            group: "root".to_owned(),
        }
    }
}

/// A group to have in `/etc/group` and `/etc/gshadow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Whether the number comes from the system range (100-999) rather than from 1000 up. The number itself comes from
    /// the pinned ids.
    pub system: bool,
    /// Users to be members, added to those already there.
    pub members: Vec<String>,
}

/// A user to have in `/etc/passwd` and `/etc/shadow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Name. The primary group has the same name unless `group` says otherwise, and is made where it is missing.
    pub name: String,
    /// Whether the number comes from the system range (100-999) rather than from 1000 up.
    pub system: bool,
    /// Primary group, when it is not one of the user's own.
    pub group: Option<String>,
    /// Supplementary groups; they must exist when the change is applied.
    pub groups: Vec<String>,
    /// Comment field (GECOS).
    pub comment: String,
    /// Home directory.
    pub home: String,
    /// Whether to make the home directory, with the content of `/etc/skel`, mode 0700.
    pub create_home: bool,
    /// Login shell.
    pub shell: String,
    /// Password.
    pub password: Password,
}

/// What stands in the password field of `/etc/shadow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// No password fits (`*`): keys may still let the user in.
    None,
    /// Locked (`!`).
    Locked,
    /// A `crypt(5)` hash, `$y$…` or `$6$…`.
    Hash(String),
}

/// What to do with a systemd unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitAction {
    /// As `systemctl enable`: the links that the unit's `[Install]` section asks for.
    Enable,
    /// As `systemctl disable`: no link to the unit in `/etc/systemd/system` remains.
    Disable,
    /// As `systemctl mask`: the unit becomes a link to `/dev/null`.
    Mask,
}

/// A hook script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Script {
    /// For messages.
    pub name: String,
    /// The script with its `#!` line; the interpreter is the tree's.
    pub content: Vec<u8>,
    /// Files and directories that the script may read, at `/run/bedstone/inputs/NAME`.
    pub inputs: Vec<Input>,
    /// Variables beside the fixed ones.
    pub environment: Vec<(String, String)>,
}

/// A declared input of a hook script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Name below `/run/bedstone/inputs`.
    pub name: String,
    /// The file or directory on the build host. Not part of the cache key: `digest` is.
    #[serde(skip)]
    pub source: PathBuf,
    /// Digest of the content, computed by who declares it.
    pub digest: Digest,
}

/// Answers for debconf, given to the package's scripts before they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preseed {
    /// The package whose scripts ask.
    pub package: String,
    /// Lines in the form of `debconf-set-selections(1)`: `owner question type value`.
    pub selections: String,
}
