import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

extension ImageStore {
    /// Reads every blob of the store, compares it with its name, and follows every name to everything it needs.
    ///
    /// Nothing is changed, and nobody deletes blobs meanwhile.
    ///
    /// - Parameters:
    ///   - concurrency: how many blobs are read at once.
    ///   - advanced: gets the bytes that were read so far and the bytes that there are.
    /// - Throws: `Failure` only when the check itself cannot be made: what is wrong with the store is in the result.
    public func check(
        concurrency: Int = 4,
        advanced: @escaping @Sendable (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
    ) async throws -> StoreCheck {
        let session = try await session()
        defer { session.end() }
        // Names first: what somebody brings in meanwhile may be there or not, but no name of it is followed.
        let named: [(reference: Reference, descriptor: Descriptor)]
        var problem: Failure?
        do {
            named = try await names()
        } catch let failure as Failure {
            (named, problem) = ([], failure)
        }
        let files = try await BlockingPool.shared.run { [root] in try BlobFiles(of: root) }
        var walk = StoreWalk(store: self, states: try await read(files, concurrency: concurrency, advanced: advanced))
        var check = StoreCheck()
        check.blobs = files.blobs.count
        check.bytes = files.blobs.values.reduce(0, +)
        check.unfinished = files.unfinished
        check.images = named.count
        walk.damages = files.foreign
        if let problem {
            walk.damages.append(
                StoreDamage(
                    kind: .foreign, path: "index.json", detail: problem.what, blob: nil, images: [], sources: []))
        }
        for (reference, descriptor) in named { try await walk.follow(descriptor, named: reference) }
        check.damages = walk.result(isComplete: problem == nil)
        return check
    }

    /// Hashes the blobs, several at once.
    private func read(
        _ files: BlobFiles,
        concurrency: Int,
        advanced: @escaping @Sendable (Int64, Int64) -> Void
    ) async throws -> [Digest: BlobState] {
        let total = files.blobs.values.reduce(0, +)
        var done: Int64 = 0
        var states: [Digest: BlobState] = [:]
        try await withThrowingTaskGroup(of: (Digest, BlobState).self) { group in
            // Large ones first: the last to end is then a small one.
            var rest = files.blobs.sorted { ($0.value, $0.key.hex) > ($1.value, $1.key.hex) }.makeIterator()
            func start() {
                guard let (digest, _) = rest.next() else { return }
                let path = path(of: digest)
                group.addTask {
                    let state = try await BlockingPool.shared.run { cancellation in
                        try BlobState.read(path, expecting: digest, cancellation)
                    }
                    return (digest, state)
                }
            }
            for _ in 0..<max(concurrency, 1) { start() }
            while let (digest, state) = try await group.next() {
                states[digest] = state
                done += files.blobs[digest] ?? 0
                advanced(done, total)
                start()
            }
        }
        return states
    }
}

/// The files that lie in a store.
private struct BlobFiles: Sendable {
    /// Sizes, by the digest that the name says.
    var blobs: [Digest: Int64] = [:]
    var foreign: [StoreDamage] = []
    var unfinished = 0

    /// Lists them. Blocks.
    init(of root: FilePath) throws {
        for algorithm in Digest.Algorithm.allCases {
            let place = "blobs/\(algorithm.rawValue)"
            for name in try Folder.names(in: root.appending(place)) {
                let path = root.appending(place).appending(name)
                var information = stat()
                let isFile = lstat(path.string, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
                guard let digest = Digest(algorithm: algorithm, hex: name), isFile else {
                    let detail = isFile ? "its name is no digest" : "it is not a file"
                    foreign.append(
                        StoreDamage(
                            kind: .foreign, path: "\(place)/\(name)", detail: detail, blob: nil, images: [], sources: []
                        ))
                    continue
                }
                blobs[digest] = Int64(information.st_size)
            }
        }
        unfinished = try Folder.names(in: root.appending("ingest")).count
    }
}

/// How a blob's bytes look.
enum BlobState: Sendable, Hashable {
    case good(size: Int64)
    case changed(size: Int64, digest: Digest)
    case unreadable(String)

    /// Hashes a file. Blocks.
    ///
    /// - Throws: only `CancellationError`.
    static func read(_ path: FilePath, expecting digest: Digest, _ cancellation: CancellationFlag) throws -> BlobState {
        do {
            let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
            return try file.closeAfter {
                posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
                var hasher = ContentHasher(digest.algorithm)
                var size: Int64 = 0
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
                defer { buffer.deallocate() }
                while true {
                    try cancellation.check()
                    let count = try file.read(into: buffer)
                    guard count > 0 else { break }
                    hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    size += Int64(count)
                }
                let actual = hasher.digest()
                return actual == digest ? .good(size: size) : .changed(size: size, digest: actual)
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            return .unreadable(String(describing: error))
        }
    }
}
