use super::*;

fn package(name: &str, essential: bool, pre_depends: &[&str], depends: &[&str]) -> Control {
    let clauses = |names: &[&str]| {
        names
            .iter()
            .map(|name| name.split('|').map(str::to_owned).collect())
            .collect()
    };
    Control {
        name: name.to_owned(),
        version: "1".to_owned(),
        architecture: "amd64".to_owned(),
        coinstallable: false,
        essential,
        pre_depends: clauses(pre_depends),
        depends: clauses(depends),
        provides: vec![format!("{name}-api")],
        replaces: BTreeSet::new(),
    }
}

fn names(packages: &[Control], preinst: &[&str]) -> Vec<String> {
    names_with(packages, preinst, &[])
}

fn names_with(packages: &[Control], preinst: &[&str], interested: &[&str]) -> Vec<String> {
    let references: Vec<&Control> = packages.iter().collect();
    plan(&references, &|index| Scripts {
        preinst: preinst.contains(&packages[index].name.as_str()),
        interested: interested.contains(&packages[index].name.as_str()),
    })
    .iter()
    .map(|stage| {
        let names: Vec<&str> = stage
            .iter()
            .map(|&index| packages[index].name.as_str())
            .collect();
        names.join(" ")
    })
    .collect()
}

#[test]
fn essential_first_leaves_last() {
    let mut packages = vec![
        package("nginx", false, &[], &["libssl", "missing|libc"]),
        package("libssl", false, &[], &["libc", "debconf-api"]),
        package("libc", false, &[], &["libgcc"]),
        package("libgcc", false, &[], &["libc"]),
        package("dpkg", true, &["libc"], &[]),
        package("debconf", false, &["dpkg"], &[]),
        package("chrony", false, &[], &["libc"]),
    ];
    let expected = ["libc libgcc dpkg", "debconf", "libssl", "chrony nginx"];
    assert_eq!(names(&packages, &[]), expected);
    packages.reverse();
    assert_eq!(names(&packages, &[]), expected);
    let expected = ["libc libgcc dpkg", "debconf", "chrony libssl", "nginx"];
    assert_eq!(names_with(&packages, &[], &["chrony"]), expected);
}

#[test]
fn preinst_scripts_find_their_pre_dependencies_configured() {
    // A chain deeper than the number of groups: the first group holds the deepest four.
    let chain = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let packages: Vec<Control> = chain
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let needs: Vec<&str> = chain.get(index + 1).into_iter().copied().collect();
            package(name, false, &needs, &[])
        })
        .collect();
    assert_eq!(names(&packages, &[]), ["h g f e", "d", "c", "b", "a"]);
    assert_eq!(names(&packages, &["g"]), ["h", "g f e", "d", "c", "b", "a"]);
}

proptest::proptest! {
    #[test]
    fn every_package_once_and_dependencies_never_later(
        edges in proptest::collection::vec((0..20usize, 0..20usize, proptest::bool::ANY), 0..60),
        essential in 0..20usize,
        preinst in proptest::collection::vec(proptest::bool::ANY, 20),
        interested in proptest::collection::vec(proptest::bool::ANY, 20),
    ) {
        let names: Vec<String> = (0..20).map(|index| format!("p{index}")).collect();
        let packages: Vec<Control> = (0..20).map(|index| {
            let pick = |before: bool| -> Vec<&str> {
                edges.iter().filter(|edge| edge.0 == index && edge.2 == before).map(|edge| names[edge.1].as_str()).collect()
            };
            package(&names[index], index == essential, &pick(true), &pick(false))
        }).collect();
        let references: Vec<&Control> = packages.iter().collect();
        let stages = plan(&references, &|index| Scripts {
            preinst: preinst[index],
            interested: interested[index],
        });
        let mut place = [usize::MAX; 20];
        for (number, stage) in stages.iter().enumerate() {
            for &index in stage {
                proptest::prop_assert_eq!(place[index], usize::MAX);
                place[index] = number;
            }
        }
        for &(from, to, _) in &edges {
            proptest::prop_assert!(place[to] <= place[from]);
        }
    }
}
