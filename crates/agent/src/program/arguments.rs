use std::ffi::OsString;
use std::path::PathBuf;

use bedstone_agent::config;
use bedstone_agent::protocol::{Install, SOCKET, Source};

pub(crate) const USAGE: &str = "\
Installs updates on this device, and keeps or leaves them.

Usage: bedstone-agent [--json] [--config FILE] COMMAND

Commands:
  install [OPTIONS] FILE|URL|- install a bundle into the slot that is not running; `-` reads standard input
      --reboot                   restart into it at once
      --allow-downgrade          take an older version than the running one, never below the device's minimum
      --reinstall                install the running version once more
      --key FILE                 key for encrypted members
  status                       tell the state of both slots and of the last update
  confirm                      keep the running slot; it is started from now on
  rollback [--reason TEXT]     leave the running slot and restart into the other one
  repair                       look at every block of the other slot, and write it again from the running one if it is damaged
  watch [--socket PATH]        show what the daemon's operations come to, until Ctrl-C
  daemon [--socket PATH]       do what is asked for on a socket (docs/reference/agent-protocol.md)
  boot                         what the system runs at every start: tell what became of the last update, try the running one

Options:
  --json                       results as one line of JSON, progress as lines before it
  --config FILE                instead of /usr/lib/bedstone/update.json
  -h, --help                   this text
  -V, --version                the version of this program

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (`code` of --json says why), 130 interrupted.";

const COMMANDS: [&str; 8] = [
    "install", "status", "confirm", "rollback", "repair", "watch", "daemon", "boot",
];

/// A command line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) json: bool,
    pub(crate) config: PathBuf,
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Install(Install),
    Status,
    Confirm,
    Rollback { reason: String },
    Repair,
    Watch { socket: PathBuf },
    Daemon { socket: PathBuf },
    Boot,
}

/// Why nothing is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was asked for.
    Help(String),
    /// The command line is wrong.
    Wrong(String),
}

/// Reads a command line without the program's name.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Invocation, Stop> {
    let wrong = |text: String| Stop::Wrong(text);
    let mut words = words.map(|word| {
        word.into_string()
            .map_err(|word| wrong(format!("`{}` is not UTF-8", word.display())))
    });
    let mut json = false;
    let mut config = PathBuf::from(config::FILE);
    let mut command: Option<String> = None;
    let mut install = Install::new(Source::Stream);
    let mut bundle = None;
    let mut socket = PathBuf::from(SOCKET);
    let mut reason = None;
    let mut given = Vec::new();
    while let Some(word) = words.next() {
        let word = word?;
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                (name.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut value = || match attached.clone() {
            Some(value) => Ok(value),
            None => words
                .next()
                .unwrap_or_else(|| Err(wrong(format!("`{name}` needs a value")))),
        };
        match &*name {
            "-h" | "--help" => return Err(Stop::Help(USAGE.to_owned())),
            "-V" | "--version" => {
                let text = format!("bedstone-agent {}", env!("CARGO_PKG_VERSION"));
                return Err(Stop::Help(text));
            }
            "--json" => json = true,
            "--config" => config = value()?.into(),
            "--key" => {
                install.key = Some(value()?.into());
                given.push("--key");
            }
            "--socket" => {
                socket = value()?.into();
                given.push("--socket");
            }
            "--reason" => {
                reason = Some(value()?);
                given.push("--reason");
            }
            "--reboot" => {
                install.reboot = true;
                given.push("--reboot");
            }
            "--allow-downgrade" => {
                install.allow_downgrade = true;
                given.push("--allow-downgrade");
            }
            "--reinstall" => {
                install.reinstall = true;
                given.push("--reinstall");
            }
            option if option.starts_with('-') && option != "-" => {
                return Err(wrong(format!("`{option}` is no option")));
            }
            _ if command.is_none() && COMMANDS.contains(&&*word) => command = Some(word),
            _ if command.is_none() => return Err(wrong(format!("`{word}` is no command"))),
            _ if command.as_deref() == Some("install") && bundle.is_none() => bundle = Some(word),
            _ => return Err(wrong(format!("`{word}` is one argument too many"))),
        }
    }
    let Some(command) = command else {
        return Err(wrong("a command is missing".to_owned()));
    };
    let allowed: &[&str] = match &*command {
        "install" => &["--key", "--reboot", "--allow-downgrade", "--reinstall"],
        "rollback" => &["--reason"],
        "watch" | "daemon" => &["--socket"],
        _ => &[],
    };
    if let Some(option) = given.iter().find(|option| !allowed.contains(option)) {
        return Err(wrong(format!("`{option}` does not go with `{command}`")));
    }
    let command = match &*command {
        "install" => Command::Install(Install {
            bundle: match bundle {
                Some(text) => Source::parse(&text).map_err(wrong)?,
                None => return Err(wrong("`install` needs a bundle".to_owned())),
            },
            ..install
        }),
        "status" => Command::Status,
        "confirm" => Command::Confirm,
        "rollback" => Command::Rollback {
            reason: reason.unwrap_or_else(|| "rolled back by hand".to_owned()),
        },
        "repair" => Command::Repair,
        "watch" => Command::Watch { socket },
        "daemon" => Command::Daemon { socket },
        _ => Command::Boot,
    };
    Ok(Invocation {
        json,
        config,
        command,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parsed(line: &str) -> Result<Invocation, Stop> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn reads_commands() {
        let install = parsed("--json install --reboot --key=k x.swu").unwrap();
        assert!(install.json);
        let expected = Install {
            reboot: true,
            key: Some("k".into()),
            ..Install::new(Source::File("x.swu".into()))
        };
        assert_eq!(install.command, Command::Install(expected));
        let install = parsed("install - --config /x").unwrap();
        assert_eq!(install.config, PathBuf::from("/x"));
        assert!(matches!(install.command, Command::Install(it) if it.bundle == Source::Stream));
        assert_eq!(parsed("status").unwrap().command, Command::Status);
        assert!(matches!(parsed("rollback --help"), Err(Stop::Help(_))));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (line, reason) in [
            ("", "a command is missing"),
            ("instal x", "`instal` is no command"),
            ("install", "`install` needs a bundle"),
            ("install a b", "`b` is one argument too many"),
            ("status --reboot", "`--reboot` does not go with `status`"),
            ("install --fast x", "`--fast` is no option"),
            ("rollback --reason", "`--reason` needs a value"),
            ("status --socket /s", "`--socket` does not go with `status`"),
            (
                "install https://x/y",
                "`https://x/y`: only http:// is downloaded, which is enough for a signed bundle; pipe anything else into `install -`",
            ),
        ] {
            assert_eq!(parsed(line), Err(Stop::Wrong(reason.to_owned())), "{line}");
        }
    }

    /// The manual page and the completions are written by hand: they have to name what there is, and nothing else.
    #[test]
    fn manual_and_completions_know_every_word() {
        let manual = include_str!("../../../../docs/man/bedstone-agent.8")
            .replace("\\-", "-")
            .replace("\\fB", " ");
        let completions = include_str!("../../../../docs/completions/bedstone-agent.bash");
        let options = |text: &str| -> BTreeSet<String> {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .filter(|word| word.len() > 2 && word.starts_with("--"))
                .map(str::to_owned)
                .collect()
        };
        for text in [&*manual, completions] {
            assert_eq!(options(text), options(USAGE));
        }
        for command in COMMANDS {
            assert!(manual.contains(&format!("\n.B {command}")), "{command}");
            let mut words = completions.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(words.any(|word| word == command), "{command}");
        }
    }
}
