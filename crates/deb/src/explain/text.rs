use std::fmt;

use super::{Available, Clash, Conflict, Link, Problem};

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { request, similar } => {
                write!(f, "no package is named `{request}`")?;
                if !similar.is_empty() {
                    write!(f, "\n  hint: did you mean {}?", quoted(similar, "or"))?;
                }
                Ok(())
            }
            Self::NoCandidate {
                request,
                versions,
                providers,
            } => {
                write!(f, "no version of `{request}` can be installed")?;
                if !versions.is_empty() {
                    write!(f, "\n  there is {}", listed(versions))?;
                }
                if !providers.is_empty() {
                    write!(
                        f,
                        "\n  it is virtual, provided by {}",
                        quoted(providers, "and")
                    )?;
                    write!(f, "\n  hint: name the one that you want")?;
                }
                Ok(())
            }
            Self::Clash { requests, clash } => {
                match requests.as_slice() {
                    [one] => write!(f, "`{one}` cannot be installed")?,
                    many => write!(f, "{} cannot be installed together", quoted(many, "and"))?,
                }
                write_clash(f, clash, 1)?;
                match clash {
                    Clash::Excluded { package, .. } => {
                        write!(
                            f,
                            "\n  hint: do not exclude `{package}`, or do not ask for what needs it"
                        )
                    }
                    _ if requests.len() > 1 => write!(f, "\n  hint: leave out one of them"),
                    _ => Ok(()),
                }
            }
            Self::NotFound { requests, instead } => {
                write!(
                    f,
                    "apt's rules find no way to install {}",
                    quoted(requests, "and")
                )?;
                if instead.is_empty() {
                    return Ok(());
                }
                write!(f, "\n  there is one with {}", quoted(instead, "and"))?;
                write!(f, "\n  hint: ask for {} as well", quoted(instead, "and"))
            }
        }
    }
}

fn write_clash(f: &mut fmt::Formatter<'_>, clash: &Clash, depth: usize) -> fmt::Result {
    match clash {
        Clash::Missing {
            chain,
            package,
            field,
            relation,
            available,
        } => {
            write_chain(f, chain, depth)?;
            line(
                f,
                depth,
                &format!("`{}` {} has `{field}: {relation}`", package.0, package.1),
            )?;
            match available.as_slice() {
                [] => line(f, depth, "which no package provides"),
                versions => line(
                    f,
                    depth,
                    &format!("which nothing fulfils; there is {}", listed(versions)),
                ),
            }
        }
        Clash::Excluding {
            chain,
            package,
            field,
            relation,
            other_chain,
            other,
        } => {
            write_chain(f, chain, depth)?;
            line(
                f,
                depth,
                &format!("`{}` {} has `{field}: {relation}`", package.0, package.1),
            )?;
            line(f, depth, "but")?;
            write_chain(f, other_chain, depth)?;
            let named = relation.split([' ', ':']).next().unwrap_or(relation);
            let tail = if named == other.0 {
                "is that package".to_owned()
            } else {
                format!("provides `{named}`")
            };
            line(f, depth, &format!("`{}` {} {tail}", other.0, other.1))
        }
        Clash::Excluded { chain, package } => {
            write_chain(f, chain, depth)?;
            line(f, depth, &format!("`{package}` is excluded"))
        }
        Clash::NoAlternative {
            chain,
            package,
            field,
            relation,
            options,
        } => {
            write_chain(f, chain, depth)?;
            line(
                f,
                depth,
                &format!("`{}` {} has `{field}: {relation}`", package.0, package.1),
            )?;
            for (name, clash) in options {
                line(f, depth, &format!("`{name}` is no way:"))?;
                write_clash(f, clash, depth + 1)?;
            }
            Ok(())
        }
        Clash::Entangled => line(
            f,
            depth,
            "their needs exclude each other in many ways at once",
        ),
    }
}

fn write_chain(f: &mut fmt::Formatter<'_>, chain: &[Link], depth: usize) -> fmt::Result {
    for link in chain {
        let Link {
            package,
            version,
            field,
            relation,
            target,
        } = link;
        let text = if relation == target {
            format!("`{package}` {version} has `{field}: {relation}`")
        } else {
            format!("`{package}` {version} has `{field}: {relation}`, that is `{target}`")
        };
        line(f, depth, &text)?;
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, depth: usize, text: &str) -> fmt::Result {
    write!(f, "\n{:indent$}{text}", "", indent = depth * 2)
}

fn listed(versions: &[Available]) -> String {
    let texts: Vec<String> = versions
        .iter()
        .map(|available| format!("{} in {}", available.version, available.suite))
        .collect();
    joined(&texts, "and")
}

fn quoted(names: &[String], word: &str) -> String {
    let texts: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    joined(&texts, word)
}

/// `a`, `a and b`, `a, b and c`.
fn joined(texts: &[String], word: &str) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
