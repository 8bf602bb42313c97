//! One LUN over both protocols.

use super::super::failure::Failure;
use super::super::faults::{Ana, Cut, Fault, Link};
use super::super::swarm::Protocol;
use super::super::world::World;
use super::{ms, world};
use crate::lun::policy::{Policy, PolicySpec};
use crate::path::access::AccessState;

/// Two portals a protocol, in turn, under load.
fn mixed(policy: Policy) -> World {
    let mut w = world(|s| {
        s.portals = 4;
        s.protocols = vec![Protocol::NvmeTcp, Protocol::Iscsi];
        s.kato = ms(200);
        s.ccr = false;
        s.iscsi.fence_assume = Some(ms(400));
        s.policy = Some(PolicySpec::new(policy));
        s.load.depth = 16;
        s.load.other_percent = 20;
        s.load.large_percent = 10;
    });
    w.start_load();
    w
}

fn of(w: &World, protocol: Protocol) -> Vec<usize> {
    let portals = 0..w.setup.portals;
    portals
        .filter(|p| w.setup.protocol(*p) == protocol)
        .collect()
}

/// I/O that each path has carried.
fn carried(w: &World) -> Vec<u64> {
    let channel = w.hosts[0].plane.channel(w.hosts[0].luns[0]);
    channel.slots.iter().map(|s| s.stats.ios).collect()
}

#[test]
fn when_all_paths_of_one_protocol_die_the_other_carries_on_without_an_error() -> Result<(), Failure>
{
    for dying in [Protocol::NvmeTcp, Protocol::Iscsi] {
        for how in [Cut::Gone, Cut::Late, Cut::Silent] {
            let mut w = mixed(Policy::RoundRobinWithSubset);
            w.pass(ms(300))?;
            assert!(carried(&w).iter().all(|n| *n > 10), "{:?}", carried(&w));
            let portals = of(&w, dying);
            for portal in portals.iter().copied() {
                w.apply(&Fault::Refuse {
                    link: Link::first(portal),
                    on: true,
                });
                w.apply(&Fault::Cut {
                    link: Link::first(portal),
                    how,
                });
            }
            w.pass(ms(100))?;
            let before = carried(&w);
            w.pass(ms(900))?;
            for (portal, (a, b)) in before.iter().zip(carried(&w)).enumerate() {
                assert_eq!(
                    b > *a,
                    !portals.contains(&portal),
                    "{dying:?} portal {portal}"
                );
            }
            w.heal();
            w.pass(ms(3000))?;
            let before = carried(&w);
            w.pass(ms(500))?;
            assert!(
                before.iter().zip(carried(&w)).all(|(a, b)| b > *a),
                "{dying:?}: all paths carry again"
            );
            w.drain()?;
            assert_eq!(w.counts().failed, 0, "{dying:?} {how:?}");
            w.read_all()?;
        }
    }
    Ok(())
}

#[test]
fn access_states_of_both_protocols_are_one_to_a_policy() -> Result<(), Failure> {
    let mut w = mixed(Policy::RoundRobinWithSubset);
    for (bad, state) in [
        (Protocol::NvmeTcp, Ana::Inaccessible),
        (Protocol::Iscsi, Ana::Inaccessible),
        (Protocol::NvmeTcp, Ana::NonOptimized),
        (Protocol::Iscsi, Ana::NonOptimized),
    ] {
        let portals = of(&w, bad);
        for portal in portals.iter().copied() {
            w.apply(&Fault::Access { portal, state });
        }
        w.pass(ms(1000))?;
        let channel = w.hosts[0].plane.channel(w.hosts[0].luns[0]);
        for (portal, slot) in channel.slots.iter().enumerate() {
            assert_eq!(
                slot.access == AccessState::Optimized,
                !portals.contains(&portal),
                "{bad:?} {state:?}: portal {portal} is {:?}",
                slot.access
            );
        }
        let before = carried(&w);
        w.pass(ms(500))?;
        for (portal, (a, b)) in before.iter().zip(carried(&w)).enumerate() {
            assert_eq!(
                b > *a,
                !portals.contains(&portal),
                "{bad:?} portal {portal}"
            );
        }
        for portal in portals {
            w.apply(&Fault::Access {
                portal,
                state: Ana::Optimized,
            });
        }
        w.pass(ms(1000))?;
    }
    w.drain()?;
    assert_eq!(w.counts().failed, 0);
    w.read_all()
}

#[test]
fn a_write_lost_over_one_protocol_is_fenced_on_the_paths_of_the_other() -> Result<(), Failure> {
    use super::super::content::Content;
    use crate::base::request::Op;
    for protocols in [
        [Protocol::Iscsi, Protocol::NvmeTcp],
        [Protocol::NvmeTcp, Protocol::Iscsi],
    ] {
        let mut w = world(|s| {
            s.protocols = protocols.to_vec();
            // The lowest weight: the first portal.
            s.policy = Some(PolicySpec::new(Policy::WeightedPaths));
            s.ccr = false;
        });
        w.hold(0);
        w.ask(Op::Write, 0, 1);
        w.pass(ms(1))?;
        w.lose(0);
        w.ask(Op::Write, 0, 1);
        w.ask(Op::Read, 0, 1);
        w.pass(ms(50))?;
        assert!(w.ended().is_empty(), "{protocols:?}: all behind the fence");
        // What is late comes now.
        w.release(0);
        let ended = w.all_ended()?;
        assert!(ended.iter().all(|e| e.result.is_ok()), "{ended:?}");
        w.pass(ms(1000))?;
        assert_eq!(w.stored(0), Content::Written(2), "{protocols:?}");
    }
    Ok(())
}
