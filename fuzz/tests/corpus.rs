//! Every input that is kept, once: what was found stays found.

use std::fs;
use std::path::Path;

type Target = fn(&[u8]);

#[test]
fn nothing_in_the_corpus_makes_a_target_fail() {
    let targets: [(&str, Target); 3] =
        [("wire", fuzz::wire::run), ("driver", fuzz::driver::run), ("gate", fuzz::gate::run)];
    for (name, target) in targets {
        let mut files = 0;
        for file in fs::read_dir(Path::new("corpus").join(name)).expect("a folder for each target") {
            let path = file.expect("its files").path();
            println!("{}", path.display());
            target(&fs::read(&path).expect("a file"));
            files += 1;
        }
        assert!(files > 0, "no corpus for {name}");
    }
}
