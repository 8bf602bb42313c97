//! Portals that send logins on to others.

use super::*;
use crate::front::fault::Fault;

/// `to` for each portal that sends logins on.
fn moved(p: &mut Pair, to: &[(usize, &str)]) {
    for (portal, to) in to {
        let to = Some(((*to).to_owned(), *portal == 0));
        p.target.set_moved(*portal, to).unwrap();
    }
}

/// Why the nexus is not there.
fn reason(p: &Pair) -> Option<String> {
    let a = p.plane.paths.iter().next()?;
    a.reason().map(ToString::to_string)
}

#[test]
fn a_login_that_is_sent_on_ends_where_it_was_sent() {
    let mut p = Pair::new(1, "");
    // As in TargetAddress: with a group, without one.
    moved(&mut p, &[(0, "p1:3260,1"), (1, "p2:3260")]);
    p.target.set_fault(0, Fault::Reset, p.now).unwrap();
    p.until("the session to be there again", |p| {
        p.target.status().portals[2].connections == 1 && p.up() == 1
    });
    let to = p.session().connections[0].portal.clone();
    assert_eq!(to, "p2:3260", "shown where it is");
    let n = p.submit(true, 0, 1);
    p.until("a write", |p| p.completed.contains(&n));
    // Next time the first portal is asked again, which serves by itself now.
    p.target.set_moved(0, None).unwrap();
    p.target.set_fault(2, Fault::Reset, p.now).unwrap();
    p.until("the session to be at home", |p| {
        p.target.status().portals[0].connections == 1 && p.up() == 1
    });
}

#[test]
fn a_login_that_is_sent_in_a_circle_or_too_far_or_nowhere_says_so() {
    let mut p = Pair::new(1, "");
    for (to, why) in [
        (
            &[(0, "p1:3260"), (1, "p0:3260")][..],
            "in a circle: p0:3260 -> p1:3260 -> p0:3260",
        ),
        (&[(0, "p0:3260,1")][..], "in a circle: p0:3260 -> p0:3260"),
        (
            &[
                (0, "p1:3260"),
                (1, "p2:3260"),
                (2, "p3:3260"),
                (3, "p9:3260"),
            ][..],
            "p9:3260",
        ),
        (&[(0, "not an address")][..], "is no address"),
    ] {
        moved(&mut p, to);
        for portal in 0..4 {
            p.target.set_fault(portal, Fault::Reset, p.now).unwrap();
        }
        p.until(why, |p| reason(p).is_some_and(|r| r.contains(why)));
        for portal in 0..4 {
            p.target.set_moved(portal, None).unwrap();
        }
        p.until("the session to be back", |p| p.up() == 1);
    }
}

#[test]
fn a_further_connection_is_sent_on_too() {
    let mut p = Pair::new(2, "");
    moved(&mut p, &[(1, "p3:3260")]);
    p.target.set_fault(1, Fault::Reset, p.now).unwrap();
    p.until("it to be at the other portal", |p| {
        p.target.status().portals[3].connections == 1 && p.up() == 2
    });
    // In a circle it is left out, and the session goes on without it.
    moved(&mut p, &[(3, "p1:3260")]);
    p.target.set_fault(3, Fault::Reset, p.now).unwrap();
    p.until("it to be given up on", |p| {
        let s = p.session();
        let why = &s.connections[1].reason;
        why.as_ref()
            .is_some_and(|r| r.to_string().contains("circle"))
    });
    assert_eq!(p.up(), 1);
    let n = p.submit(true, 0, 1);
    p.until("a write", |p| p.completed.contains(&n));
}
