use std::io;
use std::path::Path;

use super::*;
use crate::document::text::Name;
use crate::document::{Style, render};
use crate::manifest::{LayerName, Loader};
use crate::profile::Catalog;
use crate::rootfs::change::{Password, UnitAction};
use bedstone_store::Digest;

/// Files of a test, by path.
struct Files(Vec<(&'static str, &'static str)>);

impl Inputs for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0
            .iter()
            .find(|(name, _)| Path::new(name) == path)
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn digest(&self, path: &Path) -> io::Result<Digest> {
        self.read(path).map(|bytes| Digest::of(&bytes))
    }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
        .join("product.toml");
    path.to_string_lossy().into_owned()
}

fn composed(layers: &str) -> Composition {
    let catalog = Catalog::embedded();
    Loader::new(&catalog, &|path| std::fs::read_to_string(path))
        .load(&LayerName::parse_list(layers))
        .unwrap_or_else(|p| panic!("{}", render(&p.sources, &p.diagnostics, Style::Plain)))
}

fn plan_text(text: &'static str) -> Result<Plan, Problems> {
    plan_files(text, vec![])
}

fn plan_files(
    text: &'static str,
    files: Vec<(&'static str, &'static str)>,
) -> Result<Plan, Problems> {
    let catalog = Catalog::embedded();
    let composition = Loader::new(&catalog, &|_| Ok(text.to_owned()))
        .load(&LayerName::parse_list("product.toml"))
        .unwrap_or_else(|p| panic!("{}", render(&p.sources, &p.diagnostics, Style::Plain)));
    let profiles = profiles_of(&composition);
    plan(&composition, &profiles, &Files(files))
}

fn profiles_of(composition: &Composition) -> Profiles {
    let manifest = composition.manifest.with_defaults();
    let names: Vec<Name> = manifest.profiles.clone();
    Profiles::load(
        &Catalog::embedded(),
        &names,
        &manifest.debian.suite,
        manifest.debian.architecture,
    )
    .unwrap_or_else(|p| panic!("{}", render(&p.sources, &p.diagnostics, Style::Plain)))
}

fn example_plan(layers: &str) -> Plan {
    let composition = composed(layers);
    let profiles = profiles_of(&composition);
    plan(&composition, &profiles, &HostInputs)
        .unwrap_or_else(|p| panic!("{}", render(&p.sources, &p.diagnostics, Style::Plain)))
}

fn file<'p>(plan: &'p Plan, wanted: &str) -> &'p str {
    plan.changes
        .iter()
        .find_map(|change| match change {
            Change::File { path, content, .. } if path == wanted => {
                std::str::from_utf8(content).ok()
            }
            _ => None,
        })
        .unwrap_or_else(|| panic!("no {wanted}"))
}

#[test]
fn the_examples_plan_the_same_twice() {
    for name in ["minimal", "security", "security-rt"] {
        let layers = format!("{}:@opt/development", example(name));
        assert_eq!(example_plan(&layers), example_plan(&layers));
    }
}

#[test]
fn the_security_example_answers_why() {
    let plan = example_plan(&example("security"));
    let why = plan.why("file:/etc/pam.d/common-auth");
    assert_eq!(why.len(), 1);
    assert_eq!(why[0].by, "profile security-access");
    assert_eq!(why[0].requirement, ["CR 1.1", "CR 1.11"]);
    let why = plan.why("aide");
    assert!(why[0].requirement.contains(&"CR 3.4".to_owned()));
    let why = plan.why("kernel.kptr_restrict");
    assert!(why[0].requirement.contains(&"KSPP".to_owned()));
    let why = plan.why("nginx");
    assert!(why[0].by.contains("product.toml:"), "{}", why[0].by);
    assert!(!plan.why("/etc/sysctl.d/60-bedstone.conf").is_empty());
    assert_eq!(plan.kernel.package.as_deref(), Some("linux-image-amd64"));
}

#[test]
fn the_rt_example_takes_the_rt_kernel_and_joins_users_to_the_group() {
    let plan = example_plan(&example("security-rt"));
    assert_eq!(plan.kernel.package.as_deref(), Some("linux-image-rt-amd64"));
    assert!(plan.kernel.command_line.contains(&"nohz_full=1".to_owned()));
    let user = plan
        .changes
        .iter()
        .find_map(|change| match change {
            Change::User(user) => Some(user),
            _ => None,
        })
        .unwrap();
    assert_eq!(user.groups, ["adm", "realtime"]);
    assert_eq!(user.home, "/var/home/operator");
    assert_eq!(user.password, Password::None);
}

#[test]
fn ages_of_passwords_follow_the_images_own_rules() {
    let plan = example_plan(&example("security"));
    assert!(file(&plan, "/etc/login.defs").contains("\nPASS_MAX_DAYS 365\n"));
    let place = |wanted: &dyn Fn(&Change) -> bool| plan.changes.iter().position(wanted).unwrap();
    let rules = place(&|it| matches!(it, Change::File { path, .. } if path == "/etc/login.defs"));
    let users = place(&|it| matches!(it, Change::User(_)));
    let ages = place(&|it| *it == Change::PasswordAges);
    assert!(ages > rules && ages > users);
}

#[test]
fn root_is_locked_and_keys_are_roots_to_hand_out() {
    let plan = example_plan(&example("security"));
    assert!(plan.changes.contains(&Change::Password {
        user: "root".to_owned(),
        password: Password::Locked,
    }));
    assert!(file(&plan, "/etc/ssh/authorized_keys.d/operator").starts_with("ssh-ed25519 "));
    assert!(
        file(&plan, "/usr/lib/tmpfiles.d/bedstone-home.conf")
            .contains("d /var/home/operator 0700 operator operator -")
    );
    assert!(
        file(&plan, "/etc/modprobe.d/bedstone.conf").contains("install usb_storage /bin/false")
    );
    let release = file(&plan, "/usr/lib/os-release");
    assert!(
        release.contains("IMAGE_ID=demo-gateway\nIMAGE_VERSION=1.0.0\n"),
        "{release}"
    );
}

const HEAD: &str = "profiles = [\"security\"]\nproduct = { name = \"p\", version = \"1\" }\n";

#[test]
fn a_departure_from_a_profile_needs_a_reason() {
    let problems = plan_text(
        "profiles = [\"security\"]\nproduct = { name = \"p\", version = \"1\" }\n\
         [sysctl]\n\"net.ipv4.ip_forward\" = \"1\"\n",
    )
    .unwrap_err();
    assert_eq!(
        problems.to_string(),
        "product.toml:4:1: the manifest sets differently what profile `security-network` sets: `sysctl:net.ipv4.ip_forward`"
    );
    assert!(problems.diagnostics[0].help[0].contains("overrides.\"sysctl:net.ipv4.ip_forward\""));

    let plan = plan_text(
        "profiles = [\"security\"]\nproduct = { name = \"p\", version = \"1\" }\n\
         [sysctl]\n\"net.ipv4.ip_forward\" = \"1\"\n\
         [overrides]\n\"sysctl:net.ipv4.ip_forward\" = \"the product is a router\"\n\
         \"blacklist:usb-storage\" = \"operators bring logs home on a stick\"\n",
    )
    .unwrap();
    let sysctl = file(&plan, "/etc/sysctl.d/60-bedstone.conf");
    assert!(
        sysctl.contains("# manifest\nnet.ipv4.ip_forward = 1\n"),
        "{sysctl}"
    );
    assert!(!file(&plan, "/etc/modprobe.d/bedstone.conf").contains("usb_storage"));
    let why = plan.why("sysctl:net.ipv4.ip_forward");
    assert!(
        why.iter()
            .any(|r| r.text.contains("the product is a router")),
        "{why:?}"
    );
}

#[test]
fn an_override_that_overrides_nothing_is_an_error() {
    let problems = plan_text(
        "profiles = [\"security\"]\nproduct = { name = \"p\", version = \"1\" }\n\
         [overrides]\n\"sysctl:kernel.sysrk\" = \"a sentence of reason\"\n",
    )
    .unwrap_err();
    assert_eq!(
        problems.diagnostics[0].help,
        ["did you mean `sysctl:kernel.sysrq`?"]
    );
}

#[test]
fn removing_what_a_profile_needs_or_needing_what_it_blacklists_is_an_error() {
    let problems = plan_text(
        "profiles = [\"security\"]\nproduct = { name = \"p\", version = \"1\" }\n\
         [packages]\nremove = [\"aide\"]\n[kernel]\nmodules = [\"usb_storage\"]\n",
    )
    .unwrap_err();
    assert_eq!(problems.diagnostics.len(), 2, "{problems}");
}

#[test]
fn two_profiles_that_disagree_are_both_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("profiles")).unwrap();
    for (name, value) in [("one", "1"), ("two", "2")] {
        std::fs::write(
            directory.path().join(format!("profiles/{name}.toml")),
            format!(
                "name = \"{name}\"\ndescription = \"x\"\n[[sysctl]]\nset = {{ \"kernel.sysrq\" = \"{value}\" }}\nreason = \"because it is so\"\n"
            ),
        )
        .unwrap();
    }
    let catalog = Catalog::with_directory(directory.path());
    let text = "product = { name = \"p\", version = \"1\" }\nprofiles = [\"one\", \"two\"]\n";
    let composition = Loader::new(&catalog, &|_| Ok(text.to_owned()))
        .load(&LayerName::parse_list("p.toml"))
        .unwrap();
    let manifest = &composition.manifest;
    let profiles = Profiles::load(
        &catalog,
        &manifest.profiles,
        &manifest.debian.suite,
        manifest.debian.architecture,
    )
    .unwrap();
    let problems = plan(&composition, &profiles, &HostInputs).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "profiles `one` and `two` set `sysctl:kernel.sysrq` differently"
    );
}

#[test]
fn files_and_hooks_read_their_declared_inputs_only() {
    let text = "product = { name = \"p\", version = \"1\" }\n\
        [files.\"/etc/app.conf\"]\nsource = \"app.conf\"\nmode = \"0600\"\n\
        [hooks.licence]\nscript = \"licence.sh\"\ninputs = [\"data/key.txt\"]\nstage = \"configured\"\n";
    let plan = plan_files(
        text,
        vec![
            ("app.conf", "a=1\n"),
            ("licence.sh", "#!/bin/sh\n"),
            ("data/key.txt", "k"),
        ],
    )
    .unwrap();
    assert_eq!(file(&plan, "/etc/app.conf"), "a=1\n");
    let Change::Script(script) = &plan.changes[0] else {
        panic!("the early hook comes first: {:?}", plan.changes[0]);
    };
    assert_eq!(script.inputs[0].name, "key.txt");
    assert_eq!(script.inputs[0].digest, Digest::of(b"k"));

    let problems = plan_files(text, vec![]).unwrap_err();
    assert_eq!(problems.diagnostics.len(), 2, "{problems}");
    assert!(
        problems
            .to_string()
            .contains("product.toml:3:10: file `/etc/app.conf`: cannot read")
    );
}

#[test]
fn units_are_enabled_masked_and_reachable() {
    let plan = plan_text(HEAD).unwrap();
    let action = |wanted: &str| {
        plan.changes.iter().find_map(|change| match change {
            Change::Unit { unit, action } if unit == wanted => Some(*action),
            _ => None,
        })
    };
    assert_eq!(action("nftables.service"), Some(UnitAction::Enable));
    assert_eq!(action("debug-shell.service"), Some(UnitAction::Mask));
}

#[test]
fn network_files_put_names_before_patterns() {
    let plan = plan_text(
        "product = { name = \"p\", version = \"1\" }\n\
         [network]\nntp = [\"time.example\"]\ndns = [\"192.0.2.53\"]\n\
         [network.interfaces.\"e*\"]\ndhcp = true\n\
         [network.interfaces.enp1s0]\naddresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.1\"\n",
    )
    .unwrap();
    assert_eq!(
        file(&plan, "/etc/systemd/network/50-enp1s0.network"),
        "[Match]\nName=enp1s0\n\n[Network]\nAddress=192.0.2.10/24\nGateway=192.0.2.1\n"
    );
    assert_eq!(
        file(&plan, "/etc/systemd/network/51-e_.network"),
        "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n"
    );
    assert_eq!(
        file(&plan, "/etc/systemd/timesyncd.conf.d/50-bedstone.conf"),
        "[Time]\nNTP=time.example\n"
    );
}
