//! The one mapping between a [`Change`](xlreg::registry::Change) and the rows of this store.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use xlreg::identity::{
    ClusterAttrs, EndPoint, Fingerprint, MemberAttrs, Name, NodeId, PublicKey, Token,
};
use xlreg::message::{ClusterInfo, MemberEntry, MemberIndex};
use xlreg::registry::Day;

use super::digest::Digest;

/// The hash by which a token is kept once.
pub(super) type TokenHash = [u8; 32];

/// The reason why a row is damaged.
pub(super) type Damage = String;

/// A row that was read: damage is not an error of SQLite.
type Read<T> = rusqlite::Result<Result<T, Damage>>;

/// Turns an error into damage that names it.
fn damage(error: impl ToString) -> Damage {
    error.to_string()
}

/// Compares the digest of a row.
fn check(expected: [u8; 8], found: &[u8]) -> Result<(), Damage> {
    if found == expected { Ok(()) } else { Err("its digest does not fit".into()) }
}

/// A node: its ID, and the key that it is bound to.
pub(super) struct NodeRow {
    pub(super) row: i64,
    pub(super) id: NodeId,
    pub(super) key: Fingerprint,
    pub(super) last_use: Option<Day>,
}

impl NodeRow {
    fn digest(&self) -> [u8; 8] {
        let digest = Digest::of("nodes").number(self.row.cast_unsigned());
        let digest = digest.blob(self.id.as_bytes()).blob(&self.key.to_bytes());
        digest.maybe(self.last_use.map(|day| day.get().into())).end()
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (key, day) = (self.key.to_bytes(), self.last_use.map(Day::get));
        connection
            .prepare_cached("INSERT INTO nodes VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.row, self.id.as_bytes(), key, day, self.digest()])?;
        Ok(())
    }

    /// Notes the last use of a node that is there.
    pub(super) fn update(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let update = "UPDATE nodes SET last_use = ?2, digest = ?3 WHERE node = ?1";
        let day = self.last_use.map(Day::get);
        let mut statement = connection.prepare_cached(update)?;
        Ok(statement.execute(params![self.row, day, self.digest()])? == 1)
    }

    /// The node in this row, if it is there.
    pub(super) fn at(
        row: i64,
        connection: &Connection,
    ) -> rusqlite::Result<Option<Result<Self, Damage>>> {
        let mut statement = connection.prepare_cached(&format!("{} WHERE node = ?1", Self::ALL))?;
        statement.query_row([row], Self::read).optional()
    }

    pub(super) const ALL: &str = "SELECT node, id, sig_key, last_use, digest FROM nodes";

    pub(super) fn read(row: &Row<'_>) -> Read<Self> {
        let id = blob(row, 1)?;
        let (key, digest) = (blob(row, 2)?, blob(row, 4)?);
        let (number, last_use) = (row.get(0)?, row.get::<_, Option<i64>>(3)?);
        Ok((|| {
            let last_use = last_use.map(u32::try_from).transpose().map_err(damage)?.map(Day::new);
            let id = NodeId::from_bytes(id).map_err(damage)?;
            let key: [u8; 32] = key.try_into().map_err(damage)?;
            let node = Self { row: number, id, key: Fingerprint::from_bytes(key), last_use };
            check(node.digest(), digest)?;
            Ok(node)
        })())
    }
}

/// A cluster without its members.
pub(super) struct ClusterRow {
    pub(super) row: i64,
    pub(super) name: Name,
    pub(super) info: ClusterInfo,
    pub(super) created_by: Option<Fingerprint>,
}

impl ClusterRow {
    fn digest(&self) -> [u8; 8] {
        let ClusterInfo { id, max_size, attrs, end_point_count } = self.info;
        let digest = Digest::of("clusters").number(self.row.cast_unsigned());
        let digest = digest.blob(id.as_bytes()).blob(self.name.as_str().as_bytes());
        let digest = digest.number(max_size.into()).number(attrs.bits());
        let digest = digest.number(end_point_count.into());
        digest
            .blob(self.created_by.map(Fingerprint::to_bytes).as_ref().map_or(&[], |key| key))
            .end()
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let ClusterInfo { id, max_size, attrs, end_point_count } = self.info;
        connection
            .prepare_cached("INSERT INTO clusters VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                self.row,
                id.as_bytes(),
                self.name.as_str(),
                max_size,
                attrs.bits().cast_signed(),
                end_point_count,
                self.created_by.map(Fingerprint::to_bytes),
                self.digest()
            ])?;
        Ok(())
    }

    /// Deletes a cluster whose members are gone.
    pub(super) fn delete(row: i64, connection: &Connection) -> rusqlite::Result<bool> {
        let delete = "DELETE FROM clusters WHERE cluster = ?1";
        Ok(connection.prepare_cached(delete)?.execute([row])? == 1)
    }

    pub(super) const ALL: &str =
        "SELECT cluster, id, name, max_size, attrs, end_points, created_by, digest FROM clusters";

    pub(super) fn read(row: &Row<'_>) -> Read<Self> {
        let (id, name, digest) = (blob(row, 1)?, text(row, 2)?, blob(row, 7)?);
        let (number, attrs) = (row.get(0)?, row.get::<_, i64>(4)?);
        let (max_size, end_points) = (row.get::<_, i64>(3)?, row.get::<_, i64>(5)?);
        let created_by: Option<Vec<u8>> = row.get(6)?;
        Ok((|| {
            let info = ClusterInfo {
                id: NodeId::from_bytes(id).map_err(damage)?,
                max_size: max_size.try_into().map_err(damage)?,
                attrs: ClusterAttrs::from_bits(attrs.cast_unsigned()),
                end_point_count: end_points.try_into().map_err(damage)?,
            };
            let created_by = match created_by {
                None => None,
                Some(key) => Some(Fingerprint::from_bytes(key.try_into().map_err(|_| "a key")?)),
            };
            let name = name.parse().map_err(damage)?;
            let cluster = Self { row: number, name, info, created_by };
            check(cluster.digest(), digest)?;
            Ok(cluster)
        })())
    }
}

/// A token, which any number of memberships share.
pub(super) struct TokenRow {
    pub(super) row: i64,
    pub(super) hash: TokenHash,
    pub(super) member: MemberEntry,
}

impl TokenRow {
    /// Inserts the token. The member has an ID.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let token: &Token = &self.member;
        let end_points: Vec<_> = token.end_points.iter().map(EndPoint::as_str).collect();
        connection
            .prepare_cached("INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                self.row,
                self.hash,
                token.name.as_str(),
                token.id.as_ref().map(NodeId::as_bytes),
                token.attrs.bits().cast_signed(),
                token.comms_key.spki_der(),
                token.sig_key.spki_der(),
                end_points.join("\n")
            ])?;
        Ok(())
    }

    pub(super) const ALL: &str = "SELECT token, hash, name, node, attrs, comms_key, sig_key, \
         end_points FROM tokens";

    pub(super) fn read(row: &Row<'_>) -> Read<Self> {
        let (hash, name, node) = (blob(row, 1)?, text(row, 2)?, blob(row, 3)?);
        let (number, attrs) = (row.get(0)?, row.get::<_, i64>(4)?);
        let (comms_key, sig_key, end_points) = (blob(row, 5)?, blob(row, 6)?, text(row, 7)?);
        Ok((|| {
            let end_points = end_points.lines().map(str::parse).collect::<Result<_, _>>();
            let token = Token {
                name: name.parse().map_err(damage)?,
                attrs: MemberAttrs::from_bits(attrs.cast_unsigned()),
                id: Some(NodeId::from_bytes(node).map_err(damage)?),
                comms_key: PublicKey::from_spki_der(comms_key).map_err(damage)?,
                sig_key: PublicKey::from_spki_der(sig_key).map_err(damage)?,
                end_points: end_points.map_err(damage)?,
                signature: None,
            };
            let member = MemberEntry::from(token);
            let expected = member.hash();
            if hash != expected {
                return Err("its hash does not fit".into());
            }
            Ok(Self { row: number, hash: expected, member })
        })())
    }

    pub(super) fn delete(row: i64, connection: &Connection) -> rusqlite::Result<bool> {
        let deleted =
            connection.prepare_cached("DELETE FROM tokens WHERE token = ?1")?.execute([row])?;
        Ok(deleted == 1)
    }

    /// The hash of the token in this row.
    pub(super) fn hash_at(
        row: i64,
        connection: &Connection,
    ) -> rusqlite::Result<Option<TokenHash>> {
        let mut statement =
            connection.prepare_cached("SELECT hash FROM tokens WHERE token = ?1")?;
        statement.query_row([row], |row| row.get(0)).optional()
    }
}

/// A membership: a place in a cluster, and the token there.
pub(super) struct MemberRow {
    pub(super) cluster: i64,
    pub(super) index: MemberIndex,
    pub(super) token: i64,
    pub(super) serial: Option<i64>,
    pub(super) entry_signature: Option<Vec<u8>>,
}

impl MemberRow {
    /// The membership as this version makes it.
    pub(super) const fn new(cluster: i64, index: MemberIndex, token: i64) -> Self {
        Self { cluster, index, token, serial: None, entry_signature: None }
    }

    fn digest(&self) -> [u8; 8] {
        let digest = Digest::of("members").number(self.cluster.cast_unsigned());
        let digest = digest.number(self.index.get().into()).number(self.token.cast_unsigned());
        let digest = digest.maybe(self.serial.map(i64::cast_unsigned));
        digest.blob(self.entry_signature.as_deref().unwrap_or(&[])).end()
    }

    fn run(&self, mut statement: CachedStatement<'_>) -> rusqlite::Result<usize> {
        let index = self.index.get();
        statement.execute(params![
            self.cluster,
            index,
            self.token,
            self.serial,
            self.entry_signature,
            self.digest()
        ])
    }

    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let insert = "INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.run(connection.prepare_cached(insert)?)?;
        Ok(())
    }

    /// Replaces the token, the serial and the signature of a membership that is there.
    pub(super) fn update(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let update = "UPDATE members SET token = ?3, serial = ?4, entry_signature = ?5, \
             digest = ?6 WHERE cluster = ?1 AND position = ?2";
        Ok(self.run(connection.prepare_cached(update)?)? == 1)
    }

    /// Deletes the memberships of a cluster. Gives the rows of the tokens that they had.
    pub(super) fn delete_all(cluster: i64, connection: &Connection) -> rusqlite::Result<Vec<i64>> {
        let delete = "DELETE FROM members WHERE cluster = ?1 RETURNING token";
        let mut statement = connection.prepare_cached(delete)?;
        statement.query_map([cluster], |row| row.get(0))?.collect()
    }

    /// The token of a membership.
    pub(super) fn token_at(
        cluster: i64,
        index: MemberIndex,
        connection: &Connection,
    ) -> rusqlite::Result<Option<i64>> {
        let select = "SELECT token FROM members WHERE cluster = ?1 AND position = ?2";
        let mut statement = connection.prepare_cached(select)?;
        statement.query_row(params![cluster, index.get()], |row| row.get(0)).optional()
    }

    pub(super) const ALL: &str =
        "SELECT cluster, position, token, serial, entry_signature, digest FROM members";

    pub(super) fn read(row: &Row<'_>) -> Read<Self> {
        let (cluster, position, token) = (row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?);
        let (serial, entry_signature) = (row.get(3)?, row.get(4)?);
        let digest = blob(row, 5)?;
        Ok((|| {
            let position: u32 = position.try_into().map_err(damage)?;
            let index = MemberIndex::new(position).ok_or("no member can have this position")?;
            let member = Self { cluster, index, token, serial, entry_signature };
            check(member.digest(), digest)?;
            Ok(member)
        })())
    }
}

/// A value of a column, without a copy.
fn blob<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(row.get_ref(column)?.as_blob()?)
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    Ok(row.get_ref(column)?.as_str()?)
}
