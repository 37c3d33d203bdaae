//! The configuration, read from text.

use control::entry::Verdict;
use control::status::Unmatched;
use service::config::{Config, Hold, Syslog};
use std::time::Duration;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::Scope;

/// Every key, with a value that is not the usual one.
const EVERYTHING: &str = r#"
unmatched = "learn"
remember = "program"
operators = "wheel"
names = false
fallback = { outbound = "block", inbound = "last" }

[hold]
outbound = ["tcp", "udp"]
inbound = []
loopback_inbound = true
packet_bytes = "1M"
packet_bytes_per_connection = "4K"

[ask]
default = "block"
timeout = "2m"
snooze = "permit"

[limits]
held = 100
held_per_process = 10
remembered = 0

[log]
enabled = false
path = "ROOTlog.db"
keep = "7d"
size = "64M"

[syslog]
udp = "[2001:db8::1]:514"

[metrics]
listen = "[::1]:9599"
"#;

/// A full path here.
fn rooted(text: &str) -> String {
    text.replace("ROOT", if cfg!(windows) { "C:/" } else { "/" })
}

fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse("tollgate.toml", text).expect_err(text);
    problems.iter().map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.message)).collect()
}

#[test]
fn a_file_that_says_nothing_is_the_usual_configuration() {
    assert_eq!(Config::parse("tollgate.toml", ""), Ok(Config::default()));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Config::read(&folder.path().join("absent.toml")), Ok(Config::default()));
}

#[test]
fn every_key_is_read() {
    let config = Config::parse("tollgate.toml", &rooted(EVERYTHING)).unwrap();
    assert_eq!((config.unmatched, config.remember), (Unmatched::Learn, Scope::PROGRAM));
    assert_eq!((config.operators.as_str(), config.names), ("wheel", false));
    assert_eq!((config.fallback.outbound, config.fallback.inbound), (Fallback::BLOCK, Fallback::LAST));
    assert_eq!((config.ask.default, config.ask.snooze), (Verdict::Block, Some(Verdict::Permit)));
    assert_eq!(config.ask.timeout, Duration::from_secs(120));
    let held = Holds::CONNECT_TCP | Holds::CONNECT_UDP | Holds::ACCEPT_LOOPBACK;
    assert_eq!(config.hold, Hold { what: held, packet_bytes: 1 << 20, packet_bytes_per_connection: 4 << 10 });
    let limits = config.limits;
    assert_eq!((limits.held, limits.held_per_process, limits.remembered), (100, 10, 0));
    assert_eq!(config.log.path, Some(rooted("ROOTlog.db").into()));
    assert_eq!((config.log.enabled, config.log.bytes), (false, 64 << 20));
    assert_eq!(config.log.keep, Duration::from_secs(7 * 86_400));
    assert_eq!(config.syslog, Some(Syslog::Udp("[2001:db8::1]:514".parse().unwrap())));
    assert_eq!(config.metrics, Some("[::1]:9599".parse().unwrap()));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let told = problems(
        "unmatched = \"maybe\"\ncolour = 1\n[ask]\ntimeout = \"10m\"\n  default = 3\n[limits]\nheld = 0\n\
         [metrics]\nlisten = \"0.0.0.0:9599\"\n[log]\npath = \"log.db\"\nsize = \"5\"\n",
    );
    let expected = [
        "1:13 `unmatched` must be one of `ask`, `learn`, `permit`, `block`",
        "2:1 there is no `colour`",
        "4:11 `ask.timeout` must be a time from 1s to 9m",
        "5:13 `ask.default` must be one of",
        "7:8 `limits.held` must be a whole number from 1 to 131072",
        "9:10 `metrics.listen` must be an address of this machine's loopback",
        "11:8 `log.path` must be a full path",
        "12:8 `log.size` must be a size from 1M to 1024G",
    ];
    for wanted in expected {
        assert!(told.iter().any(|problem| problem.starts_with(wanted)), "{wanted}\n{told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    assert!(problems("names = \n")[0].starts_with("1:"));
    assert_eq!(problems("ask = 3"), ["1:7 `ask` must be a table"]);
}

#[test]
fn entries_go_to_one_place() {
    let told = problems(&rooted("[syslog]\nfile = \"ROOTa\"\nudp = \"192.0.2.1:514\"\n"));
    assert_eq!(told, ["3:1 `syslog.udp` is one place too many: entries go to one"]);
}

#[test]
fn one_process_may_not_hold_more_than_all() {
    assert_eq!(Config::parse("", "limits.held = 5").unwrap().limits.held_per_process, 5);
    assert_eq!(problems("limits = { held = 5, held_per_process = 6 }").len(), 1);
}

#[test]
fn what_is_held_is_chosen_for_each_direction_alone() {
    let hold = |text: &str| Config::parse("", text).unwrap().hold.what;
    let inbound = Holds::ACCEPT_TCP | Holds::ACCEPT_UDP | Holds::ACCEPT_ICMP | Holds::ACCEPT_OTHER;
    assert_eq!(hold(""), Holds::USUAL);
    assert_eq!(hold("hold.outbound = []"), inbound);
    assert_eq!(hold("hold.inbound = ['icmp']"), Holds::USUAL.difference(inbound) | Holds::ACCEPT_ICMP);
    assert_eq!(hold("hold.loopback_inbound = true"), Holds::all());
    let told = problems("[hold]\noutbound = [\"tcp\", \"ip\", 6]\ninbound = \"tcp\"\n");
    let wanted = "must be a list of `tcp`, `udp`, `icmp`, `other`";
    let expected = [
        format!("2:20 `hold.outbound` {wanted}"),
        format!("2:26 `hold.outbound` {wanted}"),
        format!("3:11 `hold.inbound` {wanted}"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn one_operation_may_not_keep_more_packets_than_all() {
    let kept = |text: &str| {
        let hold = Config::parse("", text).unwrap().hold;
        (hold.packet_bytes, hold.packet_bytes_per_connection)
    };
    assert_eq!(kept(""), (Settings::INITIAL.max_packet_bytes, Settings::INITIAL.max_packet_bytes_per_operation));
    assert_eq!(kept("hold.packet_bytes = '0K'"), (0, 0));
    assert_eq!(kept("hold.packet_bytes = '256M'").0, *Settings::PACKET_BYTES.end());
    assert_eq!(problems("hold.packet_bytes = '257M'").len(), 1);
    let told = problems("[hold]\npacket_bytes = \"4K\"\npacket_bytes_per_connection = \"5K\"\n");
    let wanted = "3:1 `hold.packet_bytes_per_connection` is more than `hold.packet_bytes`, which is for all together";
    assert_eq!(told, [wanted]);
}
