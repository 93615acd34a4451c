//! What of a bundle is installed where, or why it is not.
//!
//! Understood is the shape of CIP's bundles, which `bedstone bundle create` writes: one image and one file of the handler
//! `roundrobin`, of the subtypes `image` and `kernel`. Their `device`, a list `CURRENT->TARGET`, must lead to the slots of
//! this device; which of them is current is known better than from the boot loader's variables. The image may be a difference
//! to what is running, if the bundle says what comes out ([`Delta`]).

use std::cmp::Ordering;

use bedstone_bundle::Description;
use bedstone_bundle::description::{Entry, Property};
use bedstone_bundle::layout::{Delta, FULL, Root};
use bedstone_state::version::compare;

use crate::error::{Error, Result};
use crate::hardware;

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
    /// How the root file system is carried.
    pub root: Root,
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
            let refused = |what: String| format!("{what}, for `{}`", filename.escape_debug());
            if let Some(what) = unusual(entry) {
                return unsupported(refused(what));
            }
            let second = match subtype(entry) {
                Some("image") => match carried(entry, filename) {
                    Ok(carried) => root.replace(carried).is_some(),
                    Err(what) => return unsupported(refused(what)),
                },
                Some("kernel") => {
                    if entry.properties.contains_key("chainhandler") {
                        return unsupported(refused("a difference".to_owned()));
                    }
                    kernel.replace(filename.clone()).is_some()
                }
                _ => return unsupported("a subtype other than `image` and `kernel`".to_owned()),
            };
            if second {
                return unsupported("a second artifact of its subtype".to_owned());
            }
        }
        if let Some(Root::Delta { full, .. }) = &mut root {
            *full = whole(description);
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

fn subtype(entry: &Entry) -> Option<&str> {
    match entry.properties.get("subtype") {
        Some(Property::One(subtype)) => Some(subtype),
        _ => None,
    }
}

/// How an entry carries the root file system, or a reason why that is of no use.
fn carried(entry: &Entry, filename: &str) -> Result<Root, String> {
    let Some(delta) = Delta::of(entry)? else {
        return Ok(Root::Full(filename.to_owned()));
    };
    if let Delta::Zchunk { url, .. } = &delta
        && !url.starts_with("http://")
    {
        return Err(format!("the address `{}`: not http", url.escape_debug()));
    }
    Ok(Root::Delta {
        member: filename.to_owned(),
        delta,
        full: None,
    })
}

/// The member with the whole root file system beside a difference, if there is one that can be used.
fn whole(description: &Description) -> Option<String> {
    let section = description.select(None, Some(FULL));
    match section.images.as_deref() {
        Some([entry]) if unusual(entry).is_none() && subtype(entry) == Some("image") => {
            match Delta::of(entry) {
                Ok(None) => entry.filename.clone(),
                _ => None,
            }
        }
        _ => None,
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
    let is_delta = entry.properties.contains_key("chainhandler");
    entry
        .properties
        .keys()
        .find(|name| {
            let of_delta = is_delta && Delta::PROPERTIES.contains(&&***name);
            !of_delta && !["subtype", "configfilecheck"].contains(&&***name)
        })
        .map(|name| format!("property `{}`", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_bundle::layout::{Image, Slots, TwoSlots};
    use bedstone_store::Digest;

    fn description(version: &str) -> Description {
        carrying(version, Root::Full("root.img".to_owned()))
    }

    fn carrying(version: &str, root: Root) -> Description {
        let two = TwoSlots {
            version: version.to_owned(),
            name: "product".to_owned(),
            hardware: vec!["board".to_owned()],
            slots: Slots {
                roots: ["a".to_owned(), "b".to_owned()],
                boots: ["BOOT0".to_owned(), "BOOT1".to_owned()],
                kernel: "linux.efi".to_owned(),
            },
            root,
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
            root: Root::Full("root.img".to_owned()),
            kernel: "linux.efi".to_owned(),
        };
        let verdict = Verdict::of(&description("2.0"), &policy()).unwrap();
        assert_eq!(verdict, Verdict::Install(expected));
    }

    #[test]
    fn takes_differences_whose_images_are_known() {
        let image = |size| Image {
            size,
            sha256: Digest::of(b""),
        };
        let zchunk = |url: &str| Delta::Zchunk {
            url: url.to_owned(),
            output: image(2),
        };
        let rdiff = Delta::Rdiff {
            base: image(1),
            output: image(2),
        };
        for delta in [rdiff.clone(), zchunk("http://host/x.zck")] {
            for full in [None, Some("root.img".to_owned())] {
                let root = Root::Delta {
                    member: "root.delta".to_owned(),
                    delta: delta.clone(),
                    full,
                };
                let verdict = Verdict::of(&carrying("2.0", root.clone()), &policy()).unwrap();
                assert!(matches!(verdict, Verdict::Install(plan) if plan.root == root));
            }
        }
        let refused = |root, change: fn(&mut Description)| {
            let mut changed = carrying("2.0", root);
            change(&mut changed);
            let error = Verdict::of(&changed, &policy()).unwrap_err();
            assert_eq!(error.code(), "unsupported");
            error.to_string()
        };
        let root = |delta| Root::Delta {
            member: "root.delta".to_owned(),
            delta,
            full: None,
        };
        let text = refused(root(zchunk("https://host/x.zck")), |_| {});
        assert!(text.contains("`https://host/x.zck`: not http"), "{text}");
        // As CIP writes it.
        let text = refused(root(rdiff), |it| {
            let entry = &mut it.base.images.as_mut().unwrap()[0];
            entry.properties.remove("bedstone-base-sha256");
        });
        assert!(text.contains("`bedstone-base-sha256`"), "{text}");
        let text = refused(Root::Full("root.img".to_owned()), |it| {
            let chain = Property::One("rdiff_file".to_owned());
            let entry = &mut it.base.files.as_mut().unwrap()[0];
            entry.properties.insert("chainhandler".to_owned(), chain);
        });
        assert!(text.contains("a difference, for `linux.efi`"), "{text}");
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
