import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

extension ImageStore {
    /// Copies everything that a descriptor leads to into another store; what that has is not copied. Every blob is verified on its
    /// way. Hold a `StoreSession` of both.
    ///
    /// - Parameter advanced: gets the bytes that were copied, and how many are to be.
    /// - Throws: `Failure` of kind `integrity` or `notFound` that names a blob which this store has damaged, or not.
    public func copy(
        _ descriptor: Descriptor,
        to target: ImageStore,
        advanced: @escaping @Sendable (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
    ) async throws {
        let missing = try await target.missing(closure(of: descriptor))
        let total = missing.reduce(0) { $0 + $1.size }
        var done: Int64 = 0
        for blob in missing {
            let ingest = try await target.ingest(blob)
            let (before, path) = (done, path(of: blob.digest))
            try await BlockingPool.shared.run { cancellation in
                let open = try Self.open(blob.digest, at: path)
                try open.file.closeAfter {
                    posix_fadvise(open.file.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
                    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
                    defer { buffer.deallocate() }
                    var copied: Int64 = 0
                    while true {
                        try cancellation.check()
                        let count = try open.file.read(into: buffer)
                        guard count > 0 else { break }
                        try ingest.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                        copied += Int64(count)
                        advanced(before + copied, total)
                    }
                    try ingest.commit()
                }
            }
            done += blob.size
        }
    }
}
