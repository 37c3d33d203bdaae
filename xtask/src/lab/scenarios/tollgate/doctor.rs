//! `tollgate driver doctor`: what there is of us is told, and all of it goes.
//!
//! Wine has no service BFE, so what the filter engine has of us cannot be seen from user mode there: the doctor must say so,
//! and never that nothing is left. The lab looks itself.

use std::fs;

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::prefix;
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::tollgate::{self, Stand, TIMEOUT};
use crate::lab::wine::Output;

pub const SCENARIOS: [Scenario; 1] =
    [Scenario { name: "the doctor tells what is wrong, and removes driver and service while they run", run: doctor }];

const FOLDER: &str = "drive_c/Program Files/Tollgate";
const PROGRAM: &str = r"C:\Program Files\Tollgate\tollgate.exe";
const DRIVER_FILE: &str = "drive_c/windows/system32/drivers/tollgate.sys";
const SERVICES: [&str; 2] = ["Tollgate", "TollgateService"];

fn doctor(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    for file in ["tollgate.exe", "tollgate.sys"] {
        prefix::place(&tollgate::shipped(file)?, &lab.prefix().join(FOLDER).join(file))?;
    }
    let absent = ["absent   driver's service", "absent   device", "unknown  filter engine", "absent   service"];
    says(&lab, &["driver", "doctor"], 0, &absent)?;

    says(&lab, &["driver", "install"], 0, &["the driver is installed: "])?;
    fs::remove_file(lab.prefix().join(DRIVER_FILE))?;
    let missing = ["WRONG    driver's file", "is missing", "-> `tollgate driver install`", "something is wrong"];
    says(&lab, &["driver", "doctor"], 15, &missing)?;
    says(&lab, &["driver", "install"], 0, &["the driver's file is replaced: "])?;
    says(&lab, &["driver", "start"], 0, &["the driver is running"])?;
    says(&lab, &["service", "install"], 0, &["the service is installed"])?;
    says(&lab, &["service", "start"], 0, &["the service is running"])?;
    let stand = Stand { lab };
    stand.wait_for("the service has attached", |counters| counters.attached)?;
    let lab = stand.lab;
    let well = [
        "good     driver's service running, starts on demand",
        "good     driver's file",
        "good     device           answers, version ",
        "unknown  filter engine",
        "good     service          running: ",
    ];
    says(&lab, &["driver", "doctor"], 0, &well)?;

    // Nobody is there to agree, and the service is attached meanwhile.
    says(&lab, &["driver", "doctor", "--purge"], 16, &["--yes"])?;
    says(&lab, &["driver", "status"], 0, &["running, "])?;
    let removed = [
        "done     stop the service",
        "done     stop the driver",
        "FAILED   remove the filters",
        "done     delete the driver's service",
        "done     delete the driver's file",
        "done     delete the service",
        "absent   driver's service",
        "absent   service",
    ];
    says(&lab, &["driver", "doctor", "--purge", "--yes"], 15, &removed)?;
    nothing_is_left(&lab)?;
    let status = lab.status()?;
    for list in ["/kernel/drivers", "/engine/filters", "/engine/callouts"] {
        let is_empty = status.json().pointer(list).and_then(|list| list.as_array()).is_some_and(Vec::is_empty);
        require!(is_empty, "{list}: {status}");
    }
    require!(lab.prefix().join("drive_c/ProgramData/Tollgate/rules").is_dir(), "the rules are gone");

    let again = ["nothing  stop the driver", "nothing  delete the driver's file", "nothing  delete the service"];
    says(&lab, &["driver", "doctor", "--purge", "--yes"], 15, &again)?;
    says(&lab, &["driver", "doctor"], 0, &absent)?;
    bench.finish(lab).map(|_| ())
}

/// Neither service is in the registry, and the driver's file is gone.
fn nothing_is_left(lab: &Lab) -> Result<()> {
    for service in SERVICES {
        let key = format!(r"HKLM\System\CurrentControlSet\Services\{service}");
        let output = lab.exec("reg").args(["query", key.as_str()]).without_hook().run(TIMEOUT)?;
        require!(output.code != 0, "{service} is left: {output:?}");
    }
    require!(!lab.prefix().join(DRIVER_FILE).exists(), "{DRIVER_FILE} is left");
    Ok(())
}

fn says(lab: &Lab, words: &[&str], code: i32, texts: &[&str]) -> Result<()> {
    let output: Output = lab.exec(PROGRAM).args(words.iter().copied()).without_hook().run(TIMEOUT)?;
    let printed = format!("{}{}", output.stdout, output.stderr);
    let is_said = texts.iter().all(|text| printed.contains(text));
    require!(output.code == code && is_said, "{words:?} is {code} {texts:?}: {output:?}");
    Ok(())
}
