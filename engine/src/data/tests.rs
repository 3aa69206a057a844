use super::*;
use proptest::prelude::*;

#[derive(Data, Clone, Debug, PartialEq)]
#[data(archived(Debug))]
struct Item {
    name: String,
    price: f64,
    tags: Vec<String>,
    parent: Option<(u32, String)>,
}

#[derive(Data, Clone, Copy, Debug, PartialEq)]
enum Side {
    Buy,
    Sell,
}

#[derive(Data, Clone, Debug, PartialEq)]
enum Event {
    Opened { id: u64, item: Item },
    Moved(i16, [u8; 3]),
    Closed,
}

#[derive(Data, Clone, Debug, PartialEq)]
struct Trade(u64, Side, Vec<Event>, char);

#[derive(Data, Clone, Debug, PartialEq)]
struct Unit;

fn item() -> impl Strategy<Value = Item> {
    let parent = proptest::option::of((any::<u32>(), ".{0,20}"));
    (".{0,20}", -1e9..1e9, proptest::collection::vec(".{0,12}", 0..4), parent)
        .prop_map(|(name, price, tags, parent)| Item { name, price, tags, parent })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<u64>(), item()).prop_map(|(id, item)| Event::Opened { id, item }),
        (any::<i16>(), any::<[u8; 3]>()).prop_map(|(by, code)| Event::Moved(by, code)),
        Just(Event::Closed),
    ]
}

fn trade() -> impl Strategy<Value = Trade> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    (any::<u64>(), side, proptest::collection::vec(event(), 0..4), any::<char>())
        .prop_map(|(id, side, events, mark)| Trade(id, side, events, mark))
}

fn bytes_of<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = vec![0xaa; 3];
    write(value, &mut out, &mut Scratch::new()).unwrap();
    out.split_off(3)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(trade in trade()) {
        let bytes = bytes_of(&trade);
        let archived = access::<ArchivedTrade>(&bytes).unwrap();
        prop_assert_eq!(Trade::decode(archived), trade);
    }

    #[test]
    fn an_archived_value_lands_as_itself(trade in trade()) {
        let bytes = bytes_of(&trade);
        let archived = access::<ArchivedTrade>(&bytes).unwrap();
        let landed = bytes_of(archived);
        prop_assert_eq!(&landed, &bytes, "the bytes are those of the owned value");
        prop_assert_eq!(Trade::decode(access::<ArchivedTrade>(&landed).unwrap()), trade);
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_without_harm(trade in trade(), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = bytes_of(&trade);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(archived) = access::<ArchivedTrade>(&bytes) {
            Trade::decode(archived);
        }
        for end in 0..bytes.len() {
            if let Ok(archived) = access::<ArchivedTrade>(&bytes[..end]) {
                Trade::decode(archived);
            }
        }
    }

    #[test]
    fn descriptors_of_random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((descriptor, _)) = Descriptor::read_from(&bytes) {
            let mut written = Vec::new();
            descriptor.write_to(&mut written);
            prop_assert_eq!(&bytes[..written.len()], &written[..]);
        }
    }
}

#[test]
fn mixed_tuples_of_archived_and_owned_parts_land() {
    let bytes = bytes_of(&Item { name: "x".repeat(40), price: 2.5, tags: vec![], parent: None });
    let item = access::<ArchivedItem>(&bytes).unwrap();
    let landed = bytes_of(&(item.price, 7u64, "owned and long enough".to_owned()));
    type Landed = (f64, u64, String);
    let read = access::<<Landed as Encode>::Archived>(&landed).unwrap();
    assert_eq!(Landed::decode(read), (2.5, 7, "owned and long enough".to_owned()));
    assert_eq!(<(rkyv::Archived<f64>, u64, String)>::DESCRIPTOR, Landed::DESCRIPTOR);
}

#[test]
fn a_unit_struct_and_a_borrowed_string_land() {
    assert_eq!(bytes_of(&Unit), b"");
    assert_eq!(
        bytes_of("a string of more than eight bytes"),
        bytes_of(&"a string of more than eight bytes".to_owned())
    );
}

#[test]
fn descriptors_name_fields_types_and_offsets() {
    let descriptor = Item::DESCRIPTOR;
    assert_eq!(descriptor.name, "Item");
    assert_eq!(descriptor.size as usize, size_of::<ArchivedItem>());
    let price = descriptor.field("price").unwrap();
    assert_eq!(price.offset as usize, std::mem::offset_of!(ArchivedItem, price));
    assert_eq!(price.ty.shape, Shape::Primitive(Primitive::F64));
    assert_eq!(descriptor.field("parent").unwrap().ty.to_string(), "Option<(u32, String)>");
    let Shape::Enum(variants) = &Event::DESCRIPTOR.shape else { panic!("an enum") };
    assert_eq!(variants[0].fields[1].offset, 1 + 8);
    assert_eq!(variants[1].tag, 1);
    assert!(!Item::DESCRIPTOR.is_flat());
    const { assert!(!Item::FLAT) };
    const { assert!(Side::FLAT && <(u8, [i64; 2], Option<Side>)>::FLAT) };
}

/// The hash is part of the format: a change of it refuses every state written before.
#[test]
fn hashes_are_those_of_the_format() {
    assert_eq!(u64::DESCRIPTOR.hash(), 0x51a3_f0e1_1d4e_dc92);
    assert_eq!(Trade::DESCRIPTOR.hash(), 0xa9f6_89f1_5286_3d3d);
}

#[test]
fn a_descriptor_reads_back_equal() {
    let mut bytes = Vec::new();
    Trade::DESCRIPTOR.write_to(&mut bytes);
    let end = bytes.len();
    bytes.extend_from_slice(b"rest");
    let (read, rest) = Descriptor::read_from(&bytes).unwrap();
    assert_eq!((&read, rest), (Trade::DESCRIPTOR, &b"rest"[..]));
    assert_eq!((read.name.as_ref(), read.hash()), ("Trade", Trade::DESCRIPTOR.hash()));
    for cut in 0..end {
        assert!(Descriptor::read_from(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_descriptor_nested_without_end_is_refused() {
    let option = [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
    assert!(matches!(Descriptor::read_from(&option.repeat(1000)), Err(DescriptorError::Malformed { .. })));
}

mod before {
    use super::Data;

    #[derive(Data)]
    pub(super) struct Order {
        pub id: u32,
        pub price: f32,
        pub note: String,
        pub side: Side,
    }

    #[derive(Data)]
    pub(super) enum Side {
        Sell,
        Buy,
    }
}

mod after {
    use super::Data;

    #[derive(Data)]
    pub(super) struct Order {
        pub side: Side,
        pub id: u64,
        pub price: Option<f64>,
        pub venue: Option<String>,
        #[data(default)]
        pub count: u16,
    }

    #[derive(Data)]
    pub(super) enum Side {
        Buy,
        Sell,
        Short { borrowed: bool },
    }

    #[derive(Data)]
    #[data(version = 2)]
    pub(super) struct Later {
        pub id: u32,
    }
}

#[test]
fn compatible_descriptors_say_what_changes() {
    let changes = match after::Order::DESCRIPTOR.compatibility(before::Order::DESCRIPTOR) {
        Ok(Compatibility::Migratable(changes)) => changes,
        other => panic!("{other:?}"),
    };
    for change in [
        Change::Moved("Order.side".into()),
        Change::Moved("Order.side.Buy".into()),
        Change::Added("Order.side.Short".into()),
        Change::Widened("Order.id".into()),
        Change::MadeOptional("Order.price".into()),
        Change::Widened("Order.price".into()),
        Change::Added("Order.venue".into()),
        Change::Added("Order.count".into()),
        Change::Removed("Order.note".into()),
    ] {
        assert!(changes.contains(&change), "{change:?} in {changes:?}");
    }
    assert_eq!(Item::DESCRIPTOR.compatibility(Item::DESCRIPTOR), Ok(Compatibility::Equal));
}

#[test]
fn incompatible_descriptors_name_the_field() {
    let refused =
        |read: &Descriptor, written: &Descriptor| read.compatibility(written).unwrap_err().to_string();
    assert_eq!(
        refused(before::Order::DESCRIPTOR, after::Order::DESCRIPTOR),
        "Order.id: written as `u64`, this program reads `u32`"
    );
    assert!(
        refused(before::Side::DESCRIPTOR, after::Side::DESCRIPTOR).starts_with("Sell | Buy")
            || refused(before::Side::DESCRIPTOR, after::Side::DESCRIPTOR).starts_with("Side.Short: values")
    );
    assert_eq!(
        refused(after::Later::DESCRIPTOR, after::Order::DESCRIPTOR),
        "Later: written as version 1 of its type, this program has version 2"
    );
    assert_eq!(
        refused(<(u8, u8)>::DESCRIPTOR, <(u8, u8, u8)>::DESCRIPTOR),
        "(u8, u8): written as `(u8, u8, u8)`, this program reads `(u8, u8)`"
    );
}
