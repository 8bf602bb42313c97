//! The interfaces, and which object has which: QueryInterface.

use super::hresult::{Failure, HResult, Result};
use super::object::Object;
use uuid::Uuid;

macro_rules! interfaces {
    ($($(#[$meta:meta])* $name:ident = $iid:literal;)*) => {
        /// An interface of VDS, by its name in the headers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(clippy::enum_variant_names, reason = "they are all called so")]
        pub enum Interface {
            $($(#[$meta])* $name,)*
        }

        impl Interface {
            /// All that we know, implemented or not.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its IID.
            pub const fn iid(self) -> Uuid {
                match self {
                    $(Self::$name => uuid::uuid!($iid),)*
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

interfaces! {
    IUnknown = "00000000-0000-0000-c000-000000000046";
    IVdsService = "0818a8ef-9ba9-40d8-a6f9-e22833cc771e";
    IVdsServiceHba = "0ac13689-3134-47c6-a17c-4669216801be";
    IVdsServiceIscsi = "14fbe036-3ed7-4e10-90e9-a5ff991aff01";
    IVdsProvider = "10c5e575-7984-4e81-a56b-431f5f92ae42";
    IVdsHwProvider = "d99bdaae-b13a-4178-9fdb-e27f16b4603e";
    IVdsHwProviderType = "3e0f5166-542d-4fc6-947a-012174240b7e";
    IVdsHwProviderType2 = "8190236f-c4d0-4e81-8011-d69512fcc984";
    IVdsSwProvider = "9aa58360-ce33-4f92-b658-ed24b14425b8";
    IVdsSubSystem = "6fcee2d3-6d90-4f91-80e2-a5c7caaca9d8";
    IVdsSubSystemIscsi = "0027346f-40d0-4b45-8cec-5906dc0380c8";
    IVdsLun = "3540a9c7-e60f-4111-a840-8bba6c2c83d8";
    IVdsLun2 = "e5b3a735-9efb-499a-8071-4394d9ee6fcb";
    IVdsLunMpio = "7c5fbae3-333a-48a1-a982-33c15788cde3";
    IVdsLunNaming = "907504cb-6b4e-4d88-a34d-17ba661fbb06";
    IVdsLunNumber = "d3f95e46-54b3-41f9-b678-0f1871443a08";
    IVdsLunControllerPorts = "451fe266-da6d-406a-bb60-82e534f85aeb";
    IVdsLunIscsi = "0d7c1e64-b59b-45ae-b86a-2c2cc6a42067";
    IVdsLunPlex = "0ee1a790-5d2e-4abb-8c99-c481e8be2138";
    IVdsIscsiTarget = "aa8f5055-83e5-4bcc-aa73-19851a36a849";
    IVdsIscsiPortal = "7fa1499d-ec85-4a8a-a47b-ff69201fcd34";
    IVdsIscsiPortalGroup = "fef5f89d-a3dd-4b36-bf28-e7dde045c593";
    IVdsIscsiInitiatorAdapter = "b07fedd4-1682-4440-9189-a39b55194dc5";
    IVdsIscsiInitiatorPortal = "38a0a9ab-7cc8-4693-ac07-1f28bd03c3da";
}

impl Interface {
    /// The interface of an IID.
    pub fn from_iid(iid: Uuid) -> Option<Self> {
        Self::ALL.iter().copied().find(|i| i.iid() == iid)
    }

    /// By IID, in any of its spellings, or by name in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let by_name = |i: &Self| i.name().eq_ignore_ascii_case(text.trim());
        Self::ALL.iter().copied().find(by_name).or_else(|| {
            let iid = Uuid::try_parse(text.trim()).ok()?;
            Self::from_iid(iid)
        })
    }
}

/// The interfaces of an object, IUnknown apart.
pub const fn interfaces_of(object: &Object) -> &'static [Interface] {
    use Interface::*;
    match object {
        Object::Service => &[IVdsService, IVdsServiceHba, IVdsServiceIscsi],
        Object::Provider(_) => &[
            IVdsProvider,
            IVdsHwProvider,
            IVdsHwProviderType,
            IVdsHwProviderType2,
        ],
        Object::SubSystem(_) => &[IVdsSubSystem, IVdsSubSystemIscsi],
        // What a target makes its LUNs of can not be seen from here: no plexes, controllers, hints.
        Object::Lun(_) => &[IVdsLun, IVdsLunMpio, IVdsLunNumber, IVdsLunIscsi],
        Object::Target(_) => &[IVdsIscsiTarget],
        Object::PortalGroup(_) => &[IVdsIscsiPortalGroup],
        Object::Portal(_) => &[IVdsIscsiPortal],
        Object::InitiatorAdapter(_) => &[IVdsIscsiInitiatorAdapter],
        Object::InitiatorPortal(_) => &[IVdsIscsiInitiatorPortal],
    }
}

/// QueryInterface. Whether the object still exists is no part of the question (COM: what an object
/// once answered it answers for ever).
///
/// # Errors
/// `E_NOINTERFACE`.
pub fn query_interface(object: &Object, iid: Uuid) -> Result<Interface> {
    let known = Interface::from_iid(iid);
    let has = |i: &Interface| *i == Interface::IUnknown || interfaces_of(object).contains(i);
    known.filter(has).ok_or_else(|| {
        let name = known.map_or_else(|| iid.to_string(), |i| i.name().to_owned());
        let kind = object.kind();
        Failure::new(HResult::E_NOINTERFACE, format!("a {kind} has no {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iids_are_distinct_and_read_back() {
        for (n, i) in Interface::ALL.iter().enumerate() {
            assert!(Interface::ALL[..n].iter().all(|o| o.iid() != i.iid()));
            assert_eq!(Interface::parse(&i.iid().to_string()), Some(*i));
            assert_eq!(Interface::parse(&i.name().to_lowercase()), Some(*i));
        }
        assert_eq!(Interface::parse("IVdsNothing"), None);
    }

    #[test]
    fn every_object_is_unknown_and_only_a_lun_has_mpio() {
        let id = Uuid::nil();
        let all = [
            Object::Service,
            Object::Provider(id),
            Object::SubSystem(id),
            Object::Lun(id),
            Object::Target(id),
            Object::PortalGroup(id),
            Object::Portal(id),
            Object::InitiatorAdapter(id),
            Object::InitiatorPortal(id),
        ];
        for object in all {
            assert!(query_interface(&object, Interface::IUnknown.iid()).is_ok());
            let mpio = query_interface(&object, Interface::IVdsLunMpio.iid());
            match object {
                Object::Lun(_) => assert_eq!(mpio, Ok(Interface::IVdsLunMpio)),
                _ => assert_eq!(
                    mpio.map_err(|e| e.hresult),
                    Err(HResult::E_NOINTERFACE),
                    "{object:?}"
                ),
            }
            // No software provider, no plexes, no IID out of the blue.
            for iid in [
                Interface::IVdsSwProvider.iid(),
                Interface::IVdsLunPlex.iid(),
                Interface::IVdsLunControllerPorts.iid(),
                Uuid::from_u128(1),
            ] {
                let no = query_interface(&object, iid).map_err(|e| e.hresult);
                assert_eq!(no, Err(HResult::E_NOINTERFACE), "{object:?} {iid}");
            }
        }
    }
}
