//! What of a bundle is installed where, or why it is not.
//!
//! Understood is the shape of CIP's bundles, which `bedstone bundle create` writes: one image and one file of the handler
//! `roundrobin`, of the subtypes `image` and `kernel`. Their `device`, a list `CURRENT->TARGET`, must lead to the slots of
//! this device; which of them is current is known better than from the boot loader's variables.

use std::cmp::Ordering;

use bedstone_bundle::Description;
use bedstone_bundle::description::{Entry, Property};

use crate::error::{Error, Result};
use crate::hardware;
use crate::version::compare;

/// What decides whether a bundle is taken.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What this device is.
    pub hardware: String,
    /// Version of the running image.
    pub running_version: String,
    /// The lowest version that this device may ever run again.
    pub minimum_version: Option<String>,
    /// Whether a version below the running one is taken, down to the minimum.
    pub allow_downgrade: bool,
    /// Whether the running version is installed once more.
    pub reinstall: bool,
}

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The bundle's version.
    pub version: String,
    /// The member with the root file system.
    pub root: String,
    /// The member with the kernel image.
    pub kernel: String,
}

/// What is to be done with a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is installed.
    Install(Plan),
    /// Its version is the one that runs.
    UpToDate(String),
}

impl Verdict {
    /// Holds a description against the policy.
    pub fn of(description: &Description, policy: &Policy) -> Result<Self> {
        let section = description.select(None, None);
        let offered = section.hardware.clone().unwrap_or_default();
        if !hardware::is_among(&policy.hardware, &offered)? {
            return Err(Error::WrongHardware {
                offered,
                own: policy.hardware.clone(),
            });
        }
        let version = description.version.clone();
        let below = |limit: &str| compare(&version, limit) == Ordering::Less;
        let refuse = |limit: &str, reason| Error::Downgrade {
            offered: version.escape_debug().to_string(),
            limit: limit.to_owned(),
            reason,
        };
        if let Some(minimum) = &policy.minimum_version
            && below(minimum)
        {
            return Err(refuse(minimum, "the lowest that this device may run again"));
        }
        if below(&policy.running_version) && !policy.allow_downgrade {
            return Err(refuse(&policy.running_version, "which is running"));
        }
        let (mut root, mut kernel) = (None, None);
        for entry in section.entries() {
            let unsupported = |what: String| {
                Err(Error::Unsupported {
                    line: entry.line,
                    what,
                })
            };
            let Some(filename) = &entry.filename else {
                return unsupported("an entry without a file".to_owned());
            };
            if let Some(what) = unusual(entry) {
                return unsupported(format!("{what}, for `{}`", filename.escape_debug()));
            }
            let place = match entry.properties.get("subtype") {
                Some(Property::One(subtype)) if subtype == "image" => &mut root,
                Some(Property::One(subtype)) if subtype == "kernel" => &mut kernel,
                _ => return unsupported("a subtype other than `image` and `kernel`".to_owned()),
            };
            if place.replace(filename.clone()).is_some() {
                return unsupported("a second artifact of its subtype".to_owned());
            }
        }
        if section
            .bootenv
            .as_ref()
            .is_some_and(|variables| !variables.is_empty())
        {
            return Err(Error::Unsupported {
                line: 0,
                what: "variables of the boot loader: the agent itself sets them".to_owned(),
            });
        }
        let missing = |what: &str| Error::Unsupported {
            line: 0,
            what: format!("no {what}: a slot is written as a whole"),
        };
        let plan = Plan {
            root: root.ok_or_else(|| missing("root file system"))?,
            kernel: kernel.ok_or_else(|| missing("kernel image"))?,
            version: version.clone(),
        };
        if version == policy.running_version && !policy.reinstall {
            return Ok(Self::UpToDate(version));
        }
        Ok(Self::Install(plan))
    }
}

/// What of an entry this agent would not do.
fn unusual(entry: &Entry) -> Option<String> {
    let handler = entry.handler.as_deref().unwrap_or("none");
    if handler != "roundrobin" {
        return Some(format!("handler `{}`", handler.escape_debug()));
    }
    let functions = [&entry.preinstall, &entry.postinstall, &entry.hook];
    if functions.iter().any(|function| function.is_some()) {
        return Some("a Lua function".to_owned());
    }
    if entry.offset != 0 {
        return Some("an offset".to_owned());
    }
    if entry.install_if_different || entry.install_if_higher {
        return Some("a condition on versions".to_owned());
    }
    entry
        .properties
        .keys()
        .find(|name| !["subtype", "configfilecheck"].contains(&&***name))
        .map(|name| format!("property `{}`", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_bundle::layout::{Slots, TwoSlots};

    fn description(version: &str) -> Description {
        let two = TwoSlots {
            version: version.to_owned(),
            name: "product".to_owned(),
            hardware: vec!["board".to_owned()],
            slots: Slots {
                roots: ["a".to_owned(), "b".to_owned()],
                boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
                kernel: "linux.efi".to_owned(),
            },
            root: "root.img".to_owned(),
            kernel: "linux.efi".to_owned(),
            boot_loader: None,
        };
        two.describe()
    }

    fn policy() -> Policy {
        Policy {
            hardware: "board".to_owned(),
            running_version: "1.5".to_owned(),
            minimum_version: Some("1.2".to_owned()),
            allow_downgrade: false,
            reinstall: false,
        }
    }

    #[test]
    fn takes_what_bundle_create_writes() {
        let expected = Plan {
            version: "2.0".to_owned(),
            root: "root.img".to_owned(),
            kernel: "linux.efi".to_owned(),
        };
        let verdict = Verdict::of(&description("2.0"), &policy()).unwrap();
        assert_eq!(verdict, Verdict::Install(expected));
    }

    #[test]
    fn the_running_version_is_success() {
        let same = description("1.5");
        let verdict = Verdict::of(&same, &policy()).unwrap();
        assert_eq!(verdict, Verdict::UpToDate("1.5".to_owned()));
        let again = Policy {
            reinstall: true,
            ..policy()
        };
        assert!(matches!(
            Verdict::of(&same, &again),
            Ok(Verdict::Install(_))
        ));
    }

    #[test]
    fn older_versions_need_to_be_allowed_and_end_at_the_minimum() {
        let code = |version: &str, policy: &Policy| {
            Verdict::of(&description(version), policy).map_err(|error| error.code())
        };
        assert_eq!(code("1.4", &policy()), Err("downgrade"));
        let allowed = Policy {
            allow_downgrade: true,
            ..policy()
        };
        assert!(matches!(code("1.4", &allowed), Ok(Verdict::Install(_))));
        assert!(matches!(code("1.2", &allowed), Ok(Verdict::Install(_))));
        assert_eq!(code("1.1.9", &allowed), Err("downgrade"));
    }

    #[test]
    fn refuses_what_it_does_not_do() {
        type Change = fn(&mut Description);
        let changes: [(Change, &str); 8] = [
            (
                |it| it.base.hardware = Some(vec!["other".to_owned()]),
                "wrong-hardware",
            ),
            (|it| it.base.hardware = None, "wrong-hardware"),
            (|it| it.base.files = None, "unsupported"),
            (
                |it| it.base.images.as_mut().unwrap()[0].handler = Some("raw".to_owned()),
                "unsupported",
            ),
            (
                |it| it.base.images.as_mut().unwrap()[0].offset = 512,
                "unsupported",
            ),
            (
                |it| {
                    let entry = &mut it.base.images.as_mut().unwrap()[0];
                    entry
                        .properties
                        .insert("chainhandler".to_owned(), Property::One("delta".to_owned()));
                },
                "unsupported",
            ),
            (
                |it| {
                    let twice = it.base.files.as_ref().unwrap()[0].clone();
                    it.base.files.as_mut().unwrap().push(twice);
                },
                "unsupported",
            ),
            (
                |it| it.base.files.as_mut().unwrap()[0].hook = Some("f".to_owned()),
                "unsupported",
            ),
        ];
        for (change, code) in changes {
            let mut changed = description("2.0");
            change(&mut changed);
            let error = Verdict::of(&changed, &policy()).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
