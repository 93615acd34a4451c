use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bedstone_store::Digest;
use proptest::prelude::*;

use super::*;

mod selection;

/// The stored vectors, expanded to whole files.
fn vectors() -> BTreeMap<String, Vec<u8>> {
    let text = include_str!("../../testdata/bgenv.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            let digest = words.pop().unwrap();
            let mut bytes = vec![0; SIZE];
            for run in &words[1..] {
                let (offset, hex) = run.split_once(':').unwrap();
                let offset: usize = offset.parse().unwrap();
                for (index, pair) in hex.as_bytes().chunks(2).enumerate() {
                    let pair = std::str::from_utf8(pair).unwrap();
                    bytes[offset + index] = u8::from_str_radix(pair, 16).unwrap();
                }
            }
            assert_eq!(Digest::of(&bytes).to_string(), digest, "{}", words[0]);
            (words[0].to_owned(), bytes)
        })
        .collect()
}

fn slot(number: u32, revision: u32, state: State) -> Environment {
    Environment {
        kernel_file: format!("C:BOOT{number}:linux.efi"),
        state,
        revision,
        watchdog_seconds: 60,
        ..Environment::default()
    }
}

fn string(name: &str, value: &str, environment: Environment) -> Environment {
    let mut environment = environment;
    let value = Value::String(value.to_owned());
    environment.variables.set(name, &value).unwrap();
    environment
}

#[test]
fn vectors_of_bg_setenv() {
    let expected = [
        ("base", slot(0, 2, State::Ok)),
        ("inst", slot(1, 3, State::Installed)),
        ("testing", slot(1, 3, State::Testing)),
        ("failed", slot(1, 0, State::Failed)),
        (
            "inprog",
            Environment {
                in_progress: true,
                ..slot(1, 3, State::Ok)
            },
        ),
        (
            "uservar",
            string(
                "swu_version",
                "1.2.3",
                string("foo", "bar", slot(0, 2, State::Ok)),
            ),
        ),
        ("empty", Environment::default()),
        (
            "args",
            string(
                "foo",
                "bar",
                Environment {
                    kernel_file: "C:BOOT:kernel.efi".to_owned(),
                    kernel_params: "root=/dev/sda".to_owned(),
                    revision: 1,
                    ..Environment::default()
                },
            ),
        ),
    ];
    let vectors = vectors();
    assert_eq!(vectors.len(), expected.len());
    for (name, environment) in expected {
        let bytes = &vectors[name];
        assert_eq!(
            Environment::from_bytes(bytes).unwrap(),
            environment,
            "{name}"
        );
        assert!(environment.to_bytes().unwrap() == *bytes, "{name}");
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install efibootguard"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn bg_setenv(file: &Path, arguments: &[&str]) -> Vec<u8> {
    run(
        "bg_setenv",
        &[&["-f", file.to_str().unwrap()], arguments].concat(),
    );
    std::fs::read(file).unwrap()
}

#[test]
fn bg_setenv_writes_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE_NAME);
    let theirs = bg_setenv(
        &file,
        &[
            "-k",
            "L:BOOT1:a/b.efi",
            "-a",
            "quiet panic=5",
            "-r",
            "2147483647",
            "-w",
            "65535",
            "-s",
            "TESTING",
            "-i",
            "1",
            "-x",
            "one=1",
            "-x",
            "two=22",
            "-x",
            "three=333",
        ],
    );
    let mut ours = Environment {
        kernel_file: "L:BOOT1:a/b.efi".to_owned(),
        kernel_params: "quiet panic=5".to_owned(),
        in_progress: true,
        state: State::Testing,
        watchdog_seconds: 65535,
        revision: 2_147_483_647,
        variables: Variables::default(),
    };
    ours = string(
        "three",
        "333",
        string("two", "22", string("one", "1", ours)),
    );
    assert!(ours.to_bytes().unwrap() == theirs);

    // The same length stays in place, another goes to the end, and a deleted one leaves no gap.
    let theirs = bg_setenv(
        &file,
        &["-P", "-x", "two=33", "-x", "one=long", "-x", "three="],
    );
    ours = string("one", "long", string("two", "33", ours));
    assert_eq!(ours.variables.remove("three").unwrap().name, "three");
    assert!(ours.to_bytes().unwrap() == theirs);
    let names: Vec<&str> = ours.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["two", "one"]);
}

#[test]
fn bg_printenv_reads_ours() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE_NAME);
    let mut environment = string("name", "value", slot(1, 7, State::Installed));
    let variables = &mut environment.variables;
    variables.set("byte", &Value::U8(200)).unwrap();
    variables.set("long", &Value::I64(-5)).unwrap();
    variables.set("flag", &Value::Bool(true)).unwrap();
    std::fs::write(&file, environment.to_bytes().unwrap()).unwrap();
    let text = run("bg_printenv", &["-f", file.to_str().unwrap()]);
    for expected in ["C:BOOT1:linux.efi", "INSTALLED", "7", "60", "name", "value"] {
        assert!(text.contains(expected), "no `{expected}` in {text}");
    }
    for line in ["byte = 200", "long = -5", "flag = "] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
}

#[test]
fn typed_variables() {
    let values = [
        Value::Char(b'x'),
        Value::U8(1),
        Value::U16(2),
        Value::U32(3),
        Value::U64(u64::MAX),
        Value::I8(-1),
        Value::I16(-2),
        Value::I32(-3),
        Value::I64(i64::MIN),
        Value::String("text".to_owned()),
        Value::Bool(true),
    ];
    let mut environment = Environment::default();
    for (index, value) in values.iter().enumerate() {
        let name = format!("v{index}");
        environment.variables.set(&name, value).unwrap();
    }
    let own = Variable {
        name: "own".to_owned(),
        kind: 0x7_0000_00c8,
        data: vec![],
    };
    environment.variables.insert(own.clone()).unwrap();
    let back = Environment::from_bytes(&environment.to_bytes().unwrap()).unwrap();
    assert_eq!(back, environment);
    for (variable, value) in back.variables.iter().zip(&values) {
        assert_eq!(variable.value().as_ref(), Some(value));
    }
    assert_eq!(back.variables.get("own"), Some(&own));
    assert_eq!(own.value(), None);
}

#[test]
fn limits() {
    let mut environment = Environment {
        kernel_file: "x".repeat(254),
        ..Environment::default()
    };
    assert!(environment.to_bytes().is_ok());
    environment.kernel_file.push('x');
    assert!(environment.to_bytes().is_err());
    let mut variables = Variables::default();
    let fits = 131_072 - 1 - "big".len() - 1 - 12 - 1;
    let big = |length| Value::String("x".repeat(length));
    assert!(variables.set("big", &big(fits + 1)).is_err());
    variables.set("big", &big(fits)).unwrap();
    assert!(variables.set("a", &Value::U8(1)).is_err());
    variables.set("big", &big(fits - 1)).unwrap();
    assert!(variables.set("", &Value::U8(1)).is_err());
    let full = Environment {
        variables,
        ..Environment::default()
    };
    assert_eq!(
        Environment::from_bytes(&full.to_bytes().unwrap()).unwrap(),
        full
    );
}

#[test]
fn marks_in_place() {
    let vectors = vectors();
    let mut bytes = vectors["testing"].clone();
    set_state(&mut bytes, State::Failed, 0).unwrap();
    assert!(bytes == vectors["failed"]);
    bytes[5] ^= 1;
    assert!(set_state(&mut bytes, State::Ok, 1).is_err());
    assert!(set_state(&mut bytes[..100], State::Ok, 1).is_err());
}

#[test]
fn labels() {
    assert_eq!(label_file("BOOT0").unwrap(), b"B\0O\0O\0T\x000\0");
    for wrong in ["", "a:b", &"x".repeat(32)] {
        assert!(label_file(wrong).is_err());
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    // All bits of the fields and of the CRC, and a sample of the zeros behind the variables.
    let good = vectors()["uservar"].clone();
    let zeros = (1100 * 8..CRC * 8).step_by(12_751);
    for bit in (0..1100 * 8).chain(zeros).chain(CRC * 8..SIZE * 8) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Environment::from_bytes(&bytes).is_err(), "bit {bit}");
    }
}

fn environments() -> impl Strategy<Value = Environment> {
    let variables = proptest::collection::vec(("[a-z]{1,9}", any::<u32>(), any::<Vec<u8>>()), 0..9);
    (
        ("[ -~]{0,254}", "[ -~é€]{0,200}", any::<bool>(), 0_usize..4),
        (any::<u16>(), any::<u32>(), variables),
    )
        .prop_map(|(head, (watchdog_seconds, revision, list))| {
            let (kernel_file, kernel_params, in_progress, state) = head;
            let mut variables = Variables::default();
            for (name, kind, data) in list {
                let kind = u64::from(kind);
                variables.insert(Variable { name, kind, data }).unwrap();
            }
            Environment {
                kernel_file,
                kernel_params,
                in_progress,
                state: [State::Ok, State::Installed, State::Testing, State::Failed][state],
                watchdog_seconds,
                revision,
                variables,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trips(environment in environments()) {
        let bytes = environment.to_bytes().unwrap();
        prop_assert_eq!(Environment::from_bytes(&bytes).unwrap(), environment);
    }

    #[test]
    fn sealed_nonsense_never_panics(
        area: Vec<u8>, at in 0_usize..1100, length in 0_usize..SIZE + 9,
    ) {
        let mut bytes = vec![0xff; SIZE];
        bytes[at..at + area.len()].copy_from_slice(&area);
        seal(&mut bytes);
        let _ = Environment::from_bytes(&bytes);
        bytes[1028 + 900..CRC].fill(0);
        seal(&mut bytes);
        let _ = Environment::from_bytes(&bytes);
        bytes.resize(length, 1);
        let _ = Environment::from_bytes(&bytes);
        let _ = select(&[Some(&bytes), Some(&area)], Loader::Since0_20);
    }
}
