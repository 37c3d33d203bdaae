//! What is wrong with files is told all at once, each with its place and what to do about it.

use rules::language;
use rules::model::{Host, PathPattern};
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::{Problem, SourceFile};
use rules::when::MAX_NESTED;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.into(), text: text.into() }
}

fn windows() -> Environment {
    let variables = [("PROGRAMFILES".to_owned(), r"C:\Program Files".to_owned())].into();
    Environment { paths: PathStyle::Windows, variables, ..Environment::default() }
}

fn problems(files: &[SourceFile], environment: &Environment) -> Vec<Problem> {
    Ruleset::compile(files, environment).err().unwrap_or_default()
}

/// The only problem of a rule with this line in it, without the file.
fn problem(line: &str) -> String {
    let text = format!("[rule.r]\naction = \"block\"\n{line}\n");
    let environment = if line.contains('%') { windows() } else { Environment::default() };
    let found = problems(&[file("user/a.toml", &text)], &environment);
    assert_eq!(found.len(), 1, "{line}: {found:#?}");
    found[0].to_string().replacen("user/a.toml:", "", 1)
}

#[test]
fn every_problem_of_every_file_is_told_at_once_in_order() {
    let files = [
        file("user/b.toml", "[rule.x]\nacton = \"permit\"\n\n[rule.y]\naction = \"allow\"\n"),
        file("user/a.toml", "[rule.x]\naction = \"permit\"\nremote = [\"10.0.0.1/8\",\n  \"@lan\"]\n"),
        file("mandatory/a.toml", "[rule.x]\naction = permit\n"),
        file("sets/ads.txt", "ok.example\nnot ok\n"),
        file("readme.md", ""),
        file("floor/a.toml", ""),
    ];
    let found: Vec<String> = problems(&files, &Environment::default()).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "floor/a.toml:1:1: the floor is built in (a rule of mandatory/ comes right after it)",
            "mandatory/a.toml:2:10: string values must be quoted, expected literal string",
            "readme.md:1:1: `readme.md` is not in a folder of rules (mandatory/NAME.toml, user/NAME.toml, default/NAME.toml \
             or sets/NAME.txt)",
            "sets/ads.txt:2:1: `not ok` is more than one entry (an entry a line, or a line of a hosts file: `0.0.0.0 \
             ads.example`)",
            "user/a.toml:3:12: `10.0.0.1/8` has bits set after its first 8 (`10.0.0.0/8` is the prefix, `10.0.0.1` the \
             address)",
            "user/a.toml:4:3: there is no set `@lan` (known: ads, link-local, loopback, multicast, private)",
            "user/b.toml:1:7: the rule `x` has no action (`action` is \"permit\", \"block\" or \"ask\")",
            "user/b.toml:1:7: the rule `user/x` is there twice (also in user/a.toml:1)",
            "user/b.toml:2:1: `acton` is not a key of a rule (did you mean `action`?)",
            "user/b.toml:5:11: `allow` is no action (known: permit, block, ask)",
        ]
    );
}

#[test]
fn a_wrong_value_says_where_and_what_would_be_right() {
    for (line, wanted) in [
        ("priority = 1000001", "3:12: `priority` is out of range (-1000000 to 1000000)"),
        ("priority = \"high\"", "3:13: `priority` is a string, but must be a whole number"),
        ("enabled = 1", "3:11: `enabled` is an integer, but must be `true` or `false`"),
        ("direction = \"outbound\"", "3:14: `outbound` is no direction (known: out, in)"),
        ("protocol = \"tpc\"", "3:13: `tpc` is no protocol (did you mean `tcp`?)"),
        ("protocol = 300", "3:12: `protocol` is out of range (0 to 255)"),
        ("remote = []", "3:10: `remote` is a list of 0, but has 1 to 10000 (without the key it is no condition)"),
        ("remote = 443", "3:10: `remote` is an integer, but must be a string or a list of strings"),
        ("remote = \"example.com:0\"", "3:23: `0` is not a port (1 to 65535, or a range: `8000-8999`)"),
        ("remote = \"example.com:90-80\"", "3:23: the ports `90-80` run backwards (`80-90`)"),
        ("remote = \":53/upd\"", "3:15: `upd` is not a protocol with a name here (did you mean `udp`?)"),
        ("remote = \":8/icmp\"", "3:11: `:8/icmp` has a port, but its protocol has none"),
        ("remote = \"10.0.0.9-10.0.0.1\"", "3:11: the range `10.0.0.9-10.0.0.1` runs backwards (`10.0.0.1-10.0.0.9`)"),
        (
            "remote = \"10.0.0.1-2001:db8::1\"",
            "3:11: `10.0.0.1-2001:db8::1` runs from one family of addresses to the other",
        ),
        ("remote = \"10.0.0.0/33\"", "3:20: `33` is not the length of a prefix (0 to 32)"),
        (
            "remote = \"2001:db8::1::2\"",
            "3:11: `2001:db8::1::2` is not an IPv6 address (an IPv6 address with a port stands in brackets: \
             `[2001:db8::1]:443`)",
        ),
        (
            "remote = \"fe80::1%eth0\"",
            "3:11: `fe80::1%eth0` says which link, which a rule says with `interface` (`fe80::1`)",
        ),
        (
            "remote = \"https://example.com/x\"",
            "3:16: `https://example.com/x` is an address of the web, not of a host (the host alone: `example.com`)",
        ),
        (
            "remote = \"*.example.com\"",
            "3:11: `*.example.com` is not a domain name: `*` does not occur in one (`.example.com` means the name and \
             every name below it)",
        ),
        (
            "remote = \"300.1.1.1\"",
            "3:11: `300.1.1.1` is not a domain name: it ends with a number, but it is not an IP address either",
        ),
        ("remote = \"a..b\"", "3:11: `a..b` is not a domain name: there is nothing between two dots"),
        ("remote = \"@privat\"", "3:10: there is no set `@privat` (did you mean `private`?)"),
        ("local_port = 0", "3:14: `local_port` is out of range (1 to 65535)"),
        (
            "for = \"8 hours\"",
            "3:8: `8 hours` is not a time to live (`once`, `process`, `forever`, or a number with s, m, h or d: `8h`)",
        ),
        ("for = \"forver\"", "3:8: `forver` is not a time to live (did you mean `forever`?)"),
        ("for = \"367d\"", "3:8: `367d` is out of range (from `1s` to `366d`)"),
        (
            "expires = 2027-01-31T18:00:00",
            "3:11: `expires` is not a moment: 2027-01-31T18:00:00 (a date with time and offset, without quotes: \
             2027-01-31T18:00:00Z)",
        ),
        (
            "expires = \"2027-01-31\"",
            "3:12: `expires` is a string, but must be a date with time and offset, without quotes: 2027-01-31T18:00:00Z",
        ),
        (
            "program = \"bin/git\"",
            "3:12: `bin/git` is a relative path (the full path, the file name alone, or `**/bin/git`)",
        ),
        ("program = \"/usr/bin/\"", "3:12: it names a folder, not a program (`/usr/bin/**` is every program below it)"),
        ("program = \"/usr/../git\"", "3:12: `/usr/../git` has a `.` or `..` in it (write the path as it is)"),
        (
            "program = \"/usr/**.so\"",
            "3:12: `/usr/**.so` is not a pattern: `**` stands for whole folders, not for a part of a name (`*` is any part \
             of a name, `**/*.exe` any such file in any folder)",
        ),
        (
            "program = {}",
            "3:11: `program` is an empty table, which names no program (give one of path, sha256, publisher, package, service)",
        ),
        (
            "program = {signer = \"x\"}",
            "3:12: `signer` is not a key of a program (known: path, sha256, publisher, package, service)",
        ),
        ("program = {sha256 = \"abc\"}", "3:22: `abc` is not a SHA-256 (64 hexadecimal digits)"),
        (
            "program = '%ProgramFile%\\git.exe'",
            "3:12: `%ProgramFile%` is not known on this machine (did you mean `PROGRAMFILES`?)",
        ),
        ("when = \"remote.prot == 1\"", "3:9: there is no variable `remote.prot` (did you mean `remote.port`?)"),
        (
            "when = 'true && remote == 1'",
            "3:17: there is no variable `remote` (one of remote.address, remote.port, remote.name)",
        ),
        (
            "when = 'true && endWith(remote.name, \"x\")'",
            "3:17: there is no function `endWith` here (did you mean `endsWith`?)",
        ),
        (
            "when = 'remote.port'",
            "3:9: the expression does not say yes or no (compare texts with texts, numbers with numbers)",
        ),
        (
            "when = 'remote.port > \"1\"'",
            "3:9: the expression does not say yes or no (compare texts with texts, numbers with numbers)",
        ),
        (
            "when = 'has(remote.port)'",
            "3:12: `has` says nothing here: every variable is there (text that is not known is `\"\"`)",
        ),
        ("when = '1 +'", "3:12: this is not an expression: mismatched input at the end"),
        (
            "when = '[1].all(a, [1].all(b, a == b))'",
            "3:27: it goes over something else than one list that is written in it (its cost must be bounded by its length)",
        ),
        ("note = \"\"", "3:10: `note` has 1 to 4096 characters"),
        (
            "host = \"x\"",
            "3:1: `host` is not a key of a rule (known: action, priority, enabled, program, parent, user, command_line, direction, protocol, remote, local_port, interface, when, for, expires, log, note)",
        ),
        ("[rule.\"a b\"]\naction = \"ask\"", "3:7: `a b` is not a name (1 to 64 letters, digits, `.`, `_` and `-`)"),
        (
            "[rules.x]\naction = \"ask\"",
            "3:2: `rules` is not a key of a file of rules, which has tables `[rule.ID]` (did you mean `rule`?)",
        ),
    ] {
        assert_eq!(problem(line), wanted, "{line}");
    }
}

#[test]
fn hosts_are_read_in_every_form_and_shown_as_they_are_written() {
    for text in [
        "*",
        "10.0.0.1",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "2001:db8::/32",
        "10.0.0.1-10.0.0.9",
        "example.com",
        ".example.com",
        "_dns.my-host",
        "@ads",
        ":443",
        ":8000-8999/tcp",
        "*/icmp",
        "10.0.0.0/8:80/tcp",
        "[2001:db8::1]:443",
        "[2001:db8::/32]:443/udp",
        "[2001:db8::1-2001:db8::9]:1-2",
        "example.com/udp",
    ] {
        let remote = language::remote::remote(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
        assert_eq!(remote.to_string(), text);
        assert_eq!(language::remote::remote(&remote.to_string()), Ok(remote), "{text}");
    }
    for (text, same) in [
        ("Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        (".BÜCHER.example", ".xn--bcher-kva.example"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("10.0.0.1-10.0.0.1", "10.0.0.1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ] {
        assert_eq!(language::remote::remote(text), language::remote::remote(same), "{text}");
    }
    assert!(matches!(language::remote::host("my-host"), Ok(Host::Domain(_))));
}

#[test]
fn lifetimes_are_shown_as_they_are_written() {
    for text in ["once", "process", "forever", "1s", "90s", "5m", "8h", "366d"] {
        assert_eq!(language::text::lifetime(text).map(|lifetime| lifetime.to_string()).as_deref(), Ok(text));
    }
    assert_eq!(language::text::lifetime("120m"), language::text::lifetime("2h"));
}

#[test]
fn a_path_without_a_folder_is_a_name_and_one_with_a_star_a_pattern() {
    let unix = Environment::default();
    for (text, environment, wanted) in [
        ("git", &unix, PathPattern::Name("git".into())),
        ("python3*", &unix, PathPattern::Glob("**/python3*".into())),
        ("/usr/bin/git", &unix, PathPattern::Exact("/usr/bin/git".into())),
        ("/a/{b}/c", &unix, PathPattern::Exact("/a/{b}/c".into())),
        ("/a/{b,c}", &unix, PathPattern::Glob("/a/{b,c}".into())),
        ("Git.EXE", &windows(), PathPattern::Name("git.exe".into())),
        ("%PROGRAMFILES%/Git/git.exe", &windows(), PathPattern::Exact(r"c:\program files\git\git.exe".into())),
        (r"\\?\C:\x.exe", &windows(), PathPattern::Exact(r"c:\x.exe".into())),
        (r"\\server\share\x.exe", &windows(), PathPattern::Exact(r"\\server\share\x.exe".into())),
        (r"**\x\*.exe", &windows(), PathPattern::Glob(r"**\x\*.exe".into())),
        ("100%.exe", &windows(), PathPattern::Name("100%.exe".into())),
    ] {
        assert_eq!(language::path::pattern(text, environment), Ok(wanted), "{text}");
    }
    assert!(language::path::pattern("c:x.exe", &windows()).is_err());
}

#[test]
fn the_same_contents_in_any_order_have_the_same_revision() {
    let [a, b] = [file("user/a.toml", ""), file("user/b.toml", "# b")];
    let revision =
        |files: &[SourceFile]| Ruleset::compile(files, &Environment::default()).unwrap().revision().to_string();
    assert_eq!(revision(&[a.clone(), b.clone()]), revision(&[b.clone(), a.clone()]));
    assert_ne!(revision(&[a.clone(), b]), revision(&[a.clone(), file("user/b.toml", "# c")]));
    let given = revision(&[a]);
    assert!(given.len() == 12 && given.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given}");
}

#[test]
fn ranges_that_come_to_too_many_prefixes_are_refused() {
    let text = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n".repeat(20_000);
    let found = problems(&[file("sets/a.txt", &text)], &Environment::default());
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("4000000"), "{found:?}");
}

#[test]
fn a_deep_or_long_expression_is_taken_or_refused() {
    let long = |piece: &str, last: &str| piece.repeat((1000 - last.len()) / piece.len()) + last;
    for text in [
        long("!", "true"),
        long("-", "1"),
        long("(", "1"),
        long("[", "1"),
        long("{1:", "1"),
        long("true ? false : ", "true"),
        long("true && ", "true"),
        long("1 + ", "1 == 1"),
        long("size(", "1"),
        "a".to_owned() + &long(".b", ""),
        "'a'".to_owned() + &long("[0]", ""),
        "remote.name".to_owned() + &long(".contains('')", ""),
    ] {
        let _ = rules::when::check(&text);
        // As deep as it may be.
        let nested = |text: &str| text.matches(['(', '[', '{', '?']).count();
        let deep: String =
            (0..text.len()).map(|at| &text[at..]).find(|text| nested(text) <= MAX_NESTED).unwrap().into();
        let _ = rules::when::check(&deep);
    }
    for hidden in ["r'\\' + ')))'", "'\\q))))'", "// ')\n", "')\n'", "`)))`", "'"] {
        assert!(rules::when::check(&format!("{hidden} == ''")).is_err(), "{hidden}");
    }
    assert!(rules::when::check(&long("true || ", "true")).is_ok());
    assert!(rules::when::check(&" ".repeat(2000)).is_err());
}

#[test]
fn a_ruleset_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Ruleset>();
    shared::<rules::ruleset::Subject>();
}
