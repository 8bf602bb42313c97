//! How long a change of access states may take.

use super::*;
use AccessState::{NonOptimized, Optimized, Transitioning, Unavailable};

/// A LUN over two nexuses in groups 1 and 2.
fn two() -> Pair {
    let url = |n| format!("iscsi://p{n}/{TARGET}/0?nop_timeout=200&fence_assume=never");
    let mut p = Pair::over([1, 2, 3, 3], &[url(0), url(1)], None);
    p.until("both nexuses to be up", |p| p.up() == 2);
    p
}

/// What the LUN makes of the states.
fn seen(p: &Pair) -> [AccessState; 2] {
    let slots = &p.plane.channel(p.lun).slots;
    [slots[0].access, slots[1].access]
}

#[test]
fn a_change_of_states_that_takes_longer_than_the_target_says_is_given_up_on() {
    let mut p = two();
    assert_eq!(seen(&p), [Optimized; 2]);
    p.target.set_access(1, Transitioning).unwrap();
    p.until("the LUN to know", |p| seen(p)[0] == Transitioning);
    let began = p.now;
    let last = Duration::from_secs(u64::from(crate::front::scsi::TRANSITION_S));
    while seen(&p)[0] == Transitioning {
        assert!(p.now < began + last * 2, "for ever");
        p.now += Duration::from_millis(5);
        p.step();
    }
    let took = p.now.since(began);
    assert_eq!(seen(&p)[0], Unavailable);
    assert!(
        took >= last - Duration::from_secs(1) && took < last + Duration::from_secs(2),
        "{took:?}"
    );
    // And believed again as soon as it says something else.
    p.target.set_access(1, NonOptimized).unwrap();
    p.until("the LUN to know", |p| seen(p)[0] == NonOptimized);
}

/// A LUN over group 1, optimized, and group 2, which is not; explicit ALUA is allowed.
fn explicit() -> Pair {
    let url = |n: usize| format!("iscsi://p{n}/{TARGET}/0?nop_timeout=200&fence_assume=never");
    let mut p = Pair::over([1, 2, 3, 3], &[url(0), url(1)], None);
    p.target.set_access(2, NonOptimized).unwrap();
    let settings = LunSettings {
        explicit_alua: true,
        ..LunSettings::default()
    };
    p.plane.set_settings(p.lun, settings);
    p
}

fn group_2(p: &Pair) -> AccessState {
    p.target.status().portals[1].access
}

#[test]
fn a_target_does_not_change_sides_because_one_path_comes_later() {
    let mut p = explicit();
    p.net.set_link("p0:3260", |l| l.hold_to_target = true);
    p.until("the second path to be up", |p| p.up() == 1);
    p.run(100);
    assert_eq!(group_2(&p), NonOptimized);
    p.net.set_link("p0:3260", |l| l.hold_to_target = false);
    p.net.release("p0:3260", p.now, |_| Duration::ZERO);
    p.until("both to be up", |p| p.up() == 2);
    p.run(100);
    assert_eq!(group_2(&p), NonOptimized);
}

#[test]
fn a_target_changes_sides_when_the_path_that_would_do_does_not_come() {
    let mut p = explicit();
    p.net.set_link("p0:3260", |l| l.refuse = true);
    p.until("the second path to be up", |p| p.up() == 1);
    p.until("its group to be optimized", |p| group_2(p) == Optimized);
}
