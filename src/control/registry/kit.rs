//! A registry for tests.

use super::Registry;
use crate::control::config::Config;

/// Two reactors, a LUN "a" with two paths of weights 3 and 5, and the directory to remove at the end.
pub(in crate::control) fn registry(name: &str) -> (Registry, std::path::PathBuf) {
    // Nobody listens there: the paths are configured, and never come up.
    over(
        name,
        [
            "nvme-tcp://127.0.0.1:1/nqn.t:a",
            "nvme-tcp://127.0.0.2:1/nqn.t:a",
        ],
    )
}

/// The same over paths that are up.
pub(in crate::control) fn registry_up(name: &str) -> (Registry, std::path::PathBuf) {
    let one = "null:1M?uuid=00000000-0000-0000-0000-00000000000a";
    let (r, dir) = over(name, [one, &format!("{one}&zero=1")]);
    let joined = |r: &Registry| {
        let all = r.overviews(&r.luns[0]).expect("reactors");
        all.iter().all(|o| o.paths.iter().all(|p| p.joined))
    };
    while !joined(&r) {
        std::thread::yield_now();
    }
    (r, dir)
}

fn over(name: &str, paths: [&str; 2]) -> (Registry, std::path::PathBuf) {
    let dir = std::env::temp_dir().join(format!("umpio-{name}-{}", uuid::Uuid::new_v4()));
    let text = format!(
        "[reactors]\ncount = 2\n[[lun]]\nname = \"a\"\npaths = {paths:?}\nweights = [3, 5]\n"
    );
    let mut config = Config::parse(&text, "t").expect("valid");
    config.state_dir = dir.clone();
    (Registry::start(config).expect("started"), dir)
}
