//! The writing connection's page cache, which grows with the file.

use rusqlite::Connection;

/// In KiB, of every connection at first.
pub(super) const CACHE_KIB: u32 = 16 * 1024;
/// In KiB, of the writing connection once the file is large: what is written in no order, as references are, no longer fits
/// into the smaller one, and each creation would wait for pages to be read again.
const LARGE_CACHE_KIB: u32 = 64 * 1024;
/// Pages of a large file: 1 GiB. Below that a larger cache costs more than it spares. While SQLite balances a tree it numbers a
/// page as the one at 1 GiB for a moment, takes that for the file's last one at the end of the transaction, and so looks at each
/// cached page for what lies beyond the end: a quarter of the writing thread's time with 64 MiB, a twelfth with 16.
const LARGE_PAGES: i64 = 262_144;

/// What the writing connection has.
#[derive(Default)]
pub(super) struct WriterCache {
    is_large: bool,
}

impl WriterCache {
    /// To be called in a transaction, where the file's size is at hand.
    pub(super) fn fit(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.fit_from(connection, LARGE_PAGES)
    }

    fn fit_from(&mut self, connection: &Connection, large_pages: i64) -> rusqlite::Result<()> {
        if self.is_large {
            return Ok(());
        }
        let pages: i64 = connection.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
        if pages >= large_pages {
            set(connection, LARGE_CACHE_KIB)?;
            self.is_large = true;
        }
        Ok(())
    }
}

pub(super) fn set(connection: &Connection, kib: u32) -> rusqlite::Result<()> {
    // Negative: KiB instead of pages.
    connection.pragma_update(None, "cache_size", -i64::from(kib))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_grows_once_the_file_is_large() {
        let connection = Connection::open_in_memory().unwrap();
        set(&connection, CACHE_KIB).unwrap();
        let size = || connection.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0)).unwrap();
        connection.execute_batch("CREATE TABLE blob (bytes BLOB)").unwrap();
        let mut cache = WriterCache::default();
        cache.fit_from(&connection, 4).unwrap();
        assert_eq!(size(), -16_384);
        connection.execute_batch("BEGIN; INSERT INTO blob VALUES (zeroblob(10000))").unwrap();
        cache.fit_from(&connection, 4).unwrap();
        assert_eq!(size(), -65_536);
        cache.fit(&connection).unwrap();
        assert_eq!(size(), -65_536, "it does not shrink");
    }
}
