use super::*;

fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let etc = directory.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let files = [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/bash\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n",
        ),
        (
            "group",
            "root:x:0:\nadm:x:4:\nnogroup:x:65534:\n_ssh:x:110:\n",
        ),
        ("shadow", "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n"),
        ("gshadow", "root:*::\nadm:*::\nnogroup:*::\n_ssh:!::\n"),
    ];
    for (name, content) in files {
        fs::write(etc.join(name), content).unwrap();
    }
    directory
}

fn operator() -> User {
    User {
        name: "operator".to_owned(),
        system: false,
        group: None,
        groups: vec!["adm".to_owned()],
        comment: "Operator".to_owned(),
        home: "/home/operator".to_owned(),
        create_home: false,
        shell: "/bin/bash".to_owned(),
        password: Password::Hash("$y$j9T$x$y".to_owned()),
    }
}

#[test]
fn a_user_gets_its_lines() {
    let tree = tree();
    let before = Accounts::read(tree.path()).unwrap();
    let mut accounts = before.clone();
    accounts
        .add_user(&operator(), &Ids::default(), 86_400 * 20_000)
        .unwrap();
    accounts.write(tree.path(), &before).unwrap();
    let read = |name: &str| fs::read_to_string(tree.path().join("etc").join(name)).unwrap();
    assert!(read("passwd").ends_with("operator:x:1000:1000:Operator:/home/operator:/bin/bash\n"));
    assert!(read("shadow").ends_with("operator:$y$j9T$x$y:20000:0:99999:7:::\n"));
    assert!(read("group").contains("adm:x:4:operator\n"));
    assert!(read("group").ends_with("operator:x:1000:\n"));
    assert!(read("gshadow").contains("adm:*::operator\n"));
    assert_eq!(Accounts::read(tree.path()).unwrap(), accounts);
}

#[test]
fn what_cannot_be_is_refused() {
    let tree = tree();
    let mut accounts = Accounts::read(tree.path()).unwrap();
    let mut refuse = |change: &dyn Fn(&mut User)| {
        let mut user = operator();
        change(&mut user);
        accounts
            .add_user(&user, &Ids::default(), 0)
            .unwrap_err()
            .to_string()
    };
    assert!(refuse(&|user| user.name = "sshd".to_owned()).contains("exists"));
    assert!(refuse(&|user| user.name = "a:b".to_owned()).contains("a name is"));
    assert!(refuse(&|user| user.home = "/x\ny".to_owned()).contains("`home`"));
    assert!(refuse(&|user| user.groups = vec!["wheel".to_owned()]).contains("`wheel`"));
    let clear = Password::Hash("secret".to_owned());
    assert!(
        refuse(&|user| {
            user.name = "other".to_owned();
            user.password = clear.clone();
        })
        .contains("crypt")
    );
}

#[test]
fn numbers_change_everywhere() {
    let tree = tree();
    let mut accounts = Accounts::read(tree.path()).unwrap();
    accounts.renumber(&BTreeMap::from([(105, 300)]), &BTreeMap::from([(110, 300)]));
    assert_eq!(accounts.user_id("sshd"), Some(300));
    assert_eq!(accounts.group_id("_ssh"), Some(300));
    assert_eq!(accounts.group_id("nogroup"), Some(65_534));
}

#[test]
fn a_malformed_line_is_named() {
    let tree = tree();
    fs::write(tree.path().join("etc/group"), "root:x:0:\nbad\n").unwrap();
    let error = Accounts::read(tree.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`etc/group` in the tree, line 2: 1 fields instead of 4"
    );
}

#[test]
fn only_passwords_get_old() {
    let tree = tree();
    fs::write(
        tree.path().join("etc/login.defs"),
        "# PASS_MAX_DAYS 1\nPASS_MAX_DAYS\t365\nPASS_MIN_DAYS 1\nPASS_WARN_AGE 14\nUMASK 027\n",
    )
    .unwrap();
    fs::write(
        tree.path().join("etc/shadow"),
        "root:$y$j9T$x$y:19000:0:99999:7:::\nkeys:*:19000:0:365:7:::\noff:!$y$j9T$x$y:19000:0:365:7:::\nsshd:!:19000::::::\n",
    )
    .unwrap();
    let before = Accounts::read(tree.path()).unwrap();
    let mut accounts = before.clone();
    accounts.set_ages(&PasswordAges::read(tree.path()).unwrap());
    accounts.write(tree.path(), &before).unwrap();
    assert_eq!(
        fs::read_to_string(tree.path().join("etc/shadow")).unwrap(),
        "root:$y$j9T$x$y:19000:1:365:14:::\nkeys:*:19000:0:99999:7:::\noff:!$y$j9T$x$y:19000:0:99999:7:::\nsshd:!:19000::::::\n"
    );
}

#[test]
fn ages_that_are_no_numbers_are_refused() {
    let tree = tree();
    assert_eq!(
        PasswordAges::read(tree.path()).unwrap(),
        PasswordAges::default()
    );
    let file = tree.path().join("etc/login.defs");
    fs::write(&file, "PASS_MAX_DAYS -1\n").unwrap();
    let ages = PasswordAges::read(tree.path()).unwrap();
    assert_eq!(ages.maximum.as_deref(), Some(""));
    for line in ["PASS_MAX_DAYS\n", "PASS_MAX_DAYS year\n"] {
        fs::write(&file, line).unwrap();
        let error = PasswordAges::read(tree.path()).unwrap_err().to_string();
        assert!(error.contains("PASS_MAX_DAYS"), "{error}");
    }
}
