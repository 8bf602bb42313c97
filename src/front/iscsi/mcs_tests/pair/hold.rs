//! A fault holds what came over its own portal, and nothing else of the session.

use super::*;
use crate::front::fault::Fault;

/// Eight writes, half of them over each of two connections, while one portal holds.
fn held_at(portal: usize) {
    let mut p = Pair::new(2, "");
    p.target
        .set_fault(portal, Fault::Hold(true), p.now)
        .unwrap();
    // The numbers alternate, so that each connection brings the other one's next command forward.
    let writes: Vec<u64> = (0..8).map(|lba| p.submit(true, lba, 1)).collect();
    p.run(50);
    assert_eq!(p.target.status().held, 4, "portal {portal}");
    assert_eq!(p.completed.len(), 4, "portal {portal}");
    let place = |w: &u64| (w - writes[0]) % 2;
    let first = place(&p.completed[0]);
    assert!(
        p.completed.iter().all(|w| place(w) == first),
        "those of one connection: {:?}",
        p.completed
    );
    // Letting go at the other portal lets nothing go here.
    p.target
        .set_fault(1 - portal, Fault::Hold(false), p.now)
        .unwrap();
    p.run(50);
    assert_eq!(p.target.status().held, 4);
    p.target
        .set_fault(portal, Fault::Hold(false), p.now)
        .unwrap();
    p.finish();
    assert_eq!(p.target.status().held, 0);
    p.check_no_ghost();
}

#[test]
fn commands_that_a_sibling_brings_forward_are_held_where_they_came_in() {
    held_at(0);
    held_at(1);
}
