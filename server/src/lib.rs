//! The millrace binary: config, shards, coordinators, admin; a library too.
