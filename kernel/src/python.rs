//! The module `muniment_kernel`: types converted, the interpreter's lock released, no more.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::{merkle, pack, unpack as entries};

/// Below this much work the lock is kept: waiting to get it back would cost more.
const RELEASE_BYTES: usize = 8 << 10;

type ChunkParts<'py> = (Bound<'py, PyBytes>, usize, Bound<'py, PyBytes>, Bound<'py, PyBytes>);
type SplitParts<'py> =
    (Vec<Bound<'py, PyBytes>>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn work<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes < RELEASE_BYTES { work() } else { py.detach(work) }
}

fn parts(py: Python<'_>, chunks: Vec<pack::Chunk>) -> Vec<ChunkParts<'_>> {
    let bytes = |data: &[u8]| PyBytes::new(py, data);
    let one = |c: pack::Chunk| (bytes(&c.payload), c.count, bytes(&c.leaves), bytes(&c.compressed));
    chunks.into_iter().map(one).collect()
}

#[pymodule(name = "muniment_kernel")]
mod module {
    use super::*;

    #[pymodule_export]
    const INTERFACE: u32 = crate::INTERFACE;

    #[pyfunction]
    fn pack_lines<'py>(
        py: Python<'py>,
        body: &[u8],
        header: &[u8],
    ) -> Option<Vec<ChunkParts<'py>>> {
        work(py, body.len(), || pack::pack_lines(body, header)).map(|chunks| parts(py, chunks))
    }

    #[pyfunction]
    fn pack_json_lines<'py>(
        py: Python<'py>,
        body: &[u8],
        header: &[u8],
    ) -> Option<Vec<ChunkParts<'py>>> {
        work(py, body.len(), || pack::pack_json_lines(body, header)).map(|chunks| parts(py, chunks))
    }

    #[pyfunction]
    fn pack_records<'py>(
        py: Python<'py>,
        records: Vec<PyBackedBytes>,
        header: &[u8],
    ) -> Option<Vec<ChunkParts<'py>>> {
        let bytes = records.iter().map(|record| record.len()).sum();
        work(py, bytes, || pack::pack_records(&records, header)).map(|chunks| parts(py, chunks))
    }

    #[pyfunction]
    fn unpack<'py>(py: Python<'py>, payload: &[u8]) -> Option<Vec<Bound<'py, PyBytes>>> {
        let found = entries::unpack(payload)?;
        Some(found.into_iter().map(|entry| PyBytes::new(py, entry)).collect())
    }

    #[pyfunction]
    fn split<'py>(py: Python<'py>, payload: &[u8]) -> Option<SplitParts<'py>> {
        let found = work(py, payload.len(), || entries::split(payload))?;
        let bytes = |data: &[u8]| PyBytes::new(py, data);
        let headers = found.headers.into_iter().map(bytes).collect();
        Some((headers, bytes(&found.which), bytes(&found.offsets), bytes(&found.raw)))
    }

    #[pyfunction]
    fn leaf_hashes<'py>(py: Python<'py>, payload: &[u8]) -> Option<Bound<'py, PyBytes>> {
        let leaves = work(py, payload.len(), || merkle::leaf_hashes(payload))?;
        Some(PyBytes::new(py, &leaves))
    }

    #[pyfunction]
    fn extend<'py>(
        py: Python<'py>,
        frontier: &[u8],
        size: u64,
        leaves: &[u8],
    ) -> Option<(Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>)> {
        let (frontier, tiles) = work(py, leaves.len(), || merkle::extend(frontier, size, leaves))?;
        let tiles = tiles.iter().map(|tile| PyBytes::new(py, tile)).collect();
        Some((PyBytes::new(py, &frontier), tiles))
    }

    #[pyfunction]
    fn root<'py>(py: Python<'py>, frontier: &[u8]) -> Option<Bound<'py, PyBytes>> {
        merkle::root(frontier).map(|root| PyBytes::new(py, &root))
    }
}
