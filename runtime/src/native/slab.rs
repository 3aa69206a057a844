//! A slab whose keys say when they are stale.

/// Where something lies in a [`Slab`]: an index, and how often that place was reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// As one word: an operation's user data.
    pub(super) const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// Of [`Key::to_word`].
    pub(super) const fn from_word(word: u64) -> Self {
        Self { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// Places that are reused; a key of an earlier use finds nothing.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.vacant.pop() {
            let place = &mut self.places[index as usize];
            place.value = Some(value);
            return Key { index, generation: place.generation };
        }
        let index = u32::try_from(self.places.len()).expect("four thousand million operations in flight");
        self.places.push(Place { generation: 0, value: Some(value) });
        Key { index, generation: 0 }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.vacant.push(key.index);
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys of everything in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.places
            .iter()
            .enumerate()
            .filter(|(_, place)| place.value.is_some())
            .map(|(index, place)| Key { index: index as u32, generation: place.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first.index, second.index, "the place is reused");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "second"));
        assert_eq!(Key::from_word(second.to_word()), second);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [second]);
        assert_eq!(slab.len(), 1);
        assert!(slab.remove(second).is_some() && slab.is_empty());
    }
}
