use crate::index::{Index, Universe};
use crate::resolve::{Request, resolve};

use super::*;

fn universe(packages: &str) -> Universe {
    let mut text = String::new();
    for line in packages.lines() {
        let mut parts = line.trim().splitn(3, ' ');
        let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
        text.extend([
            "Package: ",
            name,
            "
Version: ",
            version,
            "
Architecture: amd64
",
        ]);
        text.push_str(&parts.next().unwrap_or("").replace("; ", "\n"));
        text.push_str("\n\n");
    }
    let index = Index {
        suite: "trixie".to_owned(),
        priority: 500,
        packages: text.into_bytes(),
        ..Index::default()
    };
    Universe::new(&["amd64"], vec![index]).unwrap()
}

fn request(install: &str) -> Request {
    Request {
        install: install.split_whitespace().map(str::to_owned).collect(),
        ..Request::default()
    }
}

#[track_caller]
fn refused(packages: &str, install: &str, expected: &str) {
    let error = resolve(&universe(packages), &request(install)).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn suggests_names() {
    let packages = "nginx 1\nnginx-full 1\nopenssh-server 1\nzsh 1";
    refused(
        packages,
        "ngnix",
        "no package is named `ngnix`\n  hint: did you mean `nginx`?",
    );
    refused(
        packages,
        "openssh",
        "no package is named `openssh`\n  hint: did you mean `openssh-server`?",
    );
    refused(packages, "qqqqqq", "no package is named `qqqqqq`");
}

#[test]
fn lists_providers_and_versions() {
    refused(
        "p 1 Provides: mta\nq 1 Provides: mta",
        "mta",
        "no version of `mta` can be installed\n  it is virtual, provided by `p` and `q`\n  hint: name the one that you want",
    );
    refused(
        "a 1\na 2",
        "a=3",
        "no version of `a=3` can be installed\n  there is 2 in trixie and 1 in trixie",
    );
}

#[test]
fn tells_what_is_missing() {
    refused(
        "a 1 Depends: b\nb 1 Depends: c (>= 2)\nc 1",
        "a",
        "`a` cannot be installed\n  \
         `a` 1 has `Depends: b`\n  \
         `b` 1 has `Depends: c (>= 2)`\n  \
         which nothing fulfils; there is 1 in trixie",
    );
}

#[test]
fn follows_both_sides_to_the_clash() {
    refused(
        "a 1 Depends: b\nb 1 Conflicts: d (<< 2)\nc 1 Depends: d\nd 1\ne 1",
        "a c e",
        "`a` and `c` cannot be installed together\n  \
         `a` 1 has `Depends: b`\n  \
         `b` 1 has `Conflicts: d (<< 2)`\n  \
         but\n  \
         `c` 1 has `Depends: d`\n  \
         `d` 1 is that package\n  \
         hint: leave out one of them",
    );
}

#[test]
fn goes_through_alternatives() {
    refused(
        "a 1 Depends: b | c\nb 1 Conflicts: x\nc 1 Depends: y\ny 1 Conflicts: x\nx 1",
        "a x",
        "`a` and `x` cannot be installed together\n  \
         `a` 1 has `Depends: b | c`\n  \
         `b` is no way:\n    \
         `b` 1 has `Conflicts: x`\n    \
         but\n    \
         `x` 1 is that package\n  \
         `c` is no way:\n    \
         `c` 1 has `Depends: y`\n    \
         `y` 1 has `Conflicts: x`\n    \
         but\n    \
         `x` 1 is that package\n  \
         hint: leave out one of them",
    );
}

#[test]
fn names_the_exclusion() {
    refused(
        "a 1 Depends: b\nb 1",
        "a b-",
        "`a` cannot be installed\n  `a` 1 has `Depends: b`\n  `b` is excluded\n  \
         hint: do not exclude `b`, or do not ask for what needs it",
    );
}

#[test]
fn finds_the_shortest_way() {
    let universe = universe(
        "a 1 Depends: b, c\nb 1 Depends: d\nc 1 Depends: e\ne 1 Depends: d\nd 1\nf 1 Depends: d | x",
    );
    let solution = resolve(&universe, &request("a f")).unwrap();
    let chains = why(&universe, &solution, "d", 9);
    let shown: Vec<String> = chains
        .iter()
        .map(|chain| {
            chain
                .iter()
                .map(|link| format!("{}>{}", link.package, link.target))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(shown, ["f>d", "a>b b>d"]);
    assert_eq!(chains[0][0].relation, "d | x");
    assert_eq!(why(&universe, &solution, "a", 9), [vec![]]);
    assert!(why(&universe, &solution, "nothing", 9).is_empty());
}

#[test]
fn unfolds_each_package_once() {
    let universe = universe("a 1 Depends: b, c\nb 1 Depends: c\nc 1 Depends: d\nd 1");
    let solution = resolve(&universe, &request("a")).unwrap();
    let trees = Tree::of(&universe, &solution);
    assert_eq!(trees.len(), 1);
    let b = &trees[0].needs[0];
    assert_eq!((b.name.as_str(), b.field), ("b", Some("Depends")));
    assert_eq!(b.needs[0].needs[0].name, "d");
    assert!(trees[0].needs[1].repeated && trees[0].needs[1].needs.is_empty());
}
