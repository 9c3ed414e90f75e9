import Archive
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite("Interrupted loads and saves")
struct InterruptionTests {
    private func archive(in scratch: borrowing Scratch) async throws -> (
        source: ImageStore, path: FilePath, size: Int64
    ) {
        let source = try await ImageStore.new(in: scratch, "source")
        var maker = ImageMaker(source, seed: 31)
        for number in 0..<3 {
            try await source.tag(
                try await maker.clusterImage(members: 3, layers: [1_500_000, 700_000, 100]),
                as: Reference("example.org/c\(number):1"))
        }
        let path = scratch.path.appending("a.tar")
        let saved = try await ArchiveWriter(store: source).save(try await source.all(), to: .file(path))
        return (source, path, saved.size)
    }

    @Test("a load that is cancelled at any instant leaves a sound store, and the next one succeeds")
    func cancelledLoad() async throws {
        let scratch = try Scratch()
        let (source, path, size) = try await archive(in: scratch)
        var random = SeededGenerator(seed: 32)
        for round in 0..<8 {
            let store = try await ImageStore.new(in: scratch, "target-\(round)")
            let instant = Int64.random(in: 0...size, using: &random)
            let holder = TaskHolder()
            let sink = HookedProgress { event in
                if case .advanced(_, let done, _, _) = event, done >= instant { holder.cancel() }
            }
            let task = Task {
                try await holder.ready()
                return try await sink.step("load") { try await ArchiveLoader(store: store).load(.file(path), step: $0) }
            }
            holder.set { task.cancel() }
            do {
                _ = try await task.value
            } catch is CancellationError {
                #expect(try await store.names().isEmpty)
            }
            try await store.expectSound()
            _ = try await ArchiveLoader(store: store).load(.file(path))
            #expect(try await store.summary() == source.summary())
            try await store.expectSound()
        }
    }

    @Test("whatever instant a load dies at, no image has its name without its blobs")
    func snapshots() async throws {
        let scratch = try Scratch()
        let (_, path, _) = try await archive(in: scratch)
        let store = try await ImageStore.new(in: scratch, "target")
        let root = scratch.path
        let count = Mutex(0)
        // What a process that is killed just now would leave: the hook runs on the loading thread, in the middle of the work.
        let sink = HookedProgress { _ in
            count.withLock { count in
                count += 1
                do {
                    try Self.copy(store.root, to: root.appending("snapshot-\(count)"))
                } catch {
                    Issue.record(error)
                }
            }
        }
        _ = try await sink.step("load") { try await ArchiveLoader(store: store).load(.file(path), step: $0) }
        let total = count.withLock { $0 }
        #expect(total > 5)
        for number in 1...total {
            let snapshot = try await ImageStore.open(root.appending("snapshot-\(number)"))
            #expect(try await snapshot.check().damages == [])
            _ = try await ArchiveLoader(store: snapshot).load(.file(path))
            #expect(try await snapshot.summary() == store.summary())
            // Blobs that were not finished are garbage.
            try await snapshot.collectGarbage()
            try await snapshot.expectSound()
        }
    }

    /// Copies a store as it is, the names first: what they name must be there already.
    private static func copy(_ store: FilePath, to target: FilePath) throws {
        for folder in ["blobs/sha256", "blobs/sha512", "ingest"] { try Folder.make(target.appending(folder)) }
        for file in ["index.json", "oci-layout"] {
            try AtomicFile.write(try readFile(store.appending(file)), to: target.appending(file))
        }
        for folder in ["blobs/sha256", "ingest"] {
            for name in try Folder.names(in: store.appending(folder)) {
                let place = "\(folder)/\(name)"
                // A blob may be renamed between the listing and the link; it is there under its new name then, or came too late.
                _ = link(store.appending(place).string, target.appending(place).string)
            }
        }
    }

    @Test("a save that is cancelled leaves nothing")
    func cancelledSave() async throws {
        let scratch = try Scratch()
        let (source, path, size) = try await archive(in: scratch)
        let images = try await source.all()
        unlink(path.string)
        var random = SeededGenerator(seed: 33)
        for round in 0..<6 {
            let instant = Int64.random(in: 0...size / 2, using: &random)
            let holder = TaskHolder()
            let sink = HookedProgress { event in
                if case .advanced(_, let done, _, _) = event, done >= instant { holder.cancel() }
            }
            let target: ArchiveTarget = round % 2 == 0 ? .file(path) : .parts(path, size: 1 << 20)
            let task = Task {
                try await holder.ready()
                return try await sink.step("save") {
                    try await ArchiveWriter(store: source).save(images, to: target, step: $0)
                }
            }
            holder.set { task.cancel() }
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try Folder.names(in: scratch.path) == ["source"])
        }
    }

    @Test("a load from a pipe that stays silent can be cancelled")
    func silentPipe() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let (reading, writing) = try FileDescriptor.pipe()
        _ = try writing.writeAll([0x28])
        let task = Task {
            try await ArchiveLoader(store: store).load(.descriptor(reading, name: "standard input"))
        }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try writing.close()
        try reading.close()
        try await store.expectSound()
    }

    /// Cancels a task as soon as there is one.
    private final class TaskHolder: Sendable {
        private let state = Mutex<(cancel: (@Sendable () -> Void)?, isCancelled: Bool)>((nil, false))

        func set(_ cancel: @escaping @Sendable () -> Void) {
            let isLate = state.withLock { state in
                state.cancel = cancel
                return state.isCancelled
            }
            if isLate { cancel() }
        }

        /// Waits until the task can be cancelled.
        func ready() async throws {
            while state.withLock({ $0.cancel == nil }) { try await Task.sleep(for: .milliseconds(1)) }
        }

        func cancel() {
            let cancel = state.withLock { state in
                state.isCancelled = true
                return state.cancel
            }
            cancel?()
        }
    }
}
