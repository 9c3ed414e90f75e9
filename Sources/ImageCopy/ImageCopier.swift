import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import OlderImages
import RegistryClient
import Report
import SystemPackage

/// Copies images between registries, image layouts, archives and the store, with the same digests everywhere.
public struct ImageCopier: Sendable {
    private let store: ImageStore
    private let staging: FilePath
    private let client: RegistryClient
    private let progress: any ProgressSink

    /// Makes a copier.
    ///
    /// - Parameters:
    ///   - store: what names without a prefix mean.
    ///   - staging: a folder for content that is on its way from one place outside to another. A copy has a folder of its own
    ///     in it, and deletes what others left whose process is gone.
    public init(store: ImageStore, staging: FilePath, client: RegistryClient, progress: any ProgressSink) {
        self.store = store
        self.staging = staging
        self.client = client
        self.progress = progress
    }

    /// Copies an image with everything that belongs to it.
    ///
    /// - Returns: what was copied.
    /// - Throws: `Failure` of kind `usage` when a name is needed that nobody gave.
    public func copy(_ source: ImagePlace, to destination: ImagePlace) async throws -> Descriptor {
        let own = ProcessFolder.path(in: staging)
        let middle = try await middle(source, destination, own)
        do {
            let session = try await middle.session()
            defer { session.end() }
            let content = try await bring(source, for: destination, into: middle)
            try await put(content, from: middle, to: destination)
            try await leave(own)
            return content.descriptor
        } catch {
            // In a task of its own: this one may be cancelled. What cannot be deleted now, the next copy deletes.
            await Task { do { try await leave(own) } catch { progress.send(.warning("\(error)")) } }.value
            throw error
        }
    }

    /// Deletes the copy's own folder, and those of processes that are gone.
    private func leave(_ own: FilePath) async throws {
        try await BlockingPool.shared.run { [staging] in
            try Folder.delete(own)
            try ProcessFolder.deleteLeft(in: staging)
        }
    }

    private struct Content {
        var descriptor: Descriptor
        /// The name that it has at its source.
        var name: Reference?
    }

    /// The store that the content passes through: that of the source or of the destination, where one of them has one.
    ///
    /// An archive always goes through a folder of its own: it says itself what its images are called, and those names must
    /// not come into a store where nobody asked for them.
    private func middle(_ source: ImagePlace, _ destination: ImagePlace, _ own: FilePath) async throws -> ImageStore {
        switch (source, destination) {
        case (.store, _): store
        case (.layout(let path, _), _): try await Self.layout(path, mustExist: true)
        case (.registry, .store): store
        case (.registry, .layout(let path, _)): try await Self.layout(path, mustExist: false)
        case (.archive, _), (.registry, _): try await ImageStore.open(own)
        }
    }

    private static func layout(_ path: FilePath, mustExist: Bool) async throws -> ImageStore {
        guard !mustExist || Folder.exists(path.appending("blobs")) else {
            throw Failure(.notFound, "there is no OCI image layout", at: path.string)
        }
        return try await ImageStore.open(path)
    }

    // MARK: - From

    private func bring(_ source: ImagePlace, for destination: ImagePlace, into middle: ImageStore) async throws
        -> Content
    {
        switch source {
        case .store(let name): return try await select(name, in: middle)
        case .layout(let path, let name):
            if let name { return try await select(name, in: middle) }
            let named = try await middle.names()
            guard let only = named.first, Set(named.map(\.descriptor.digest)).count == 1 else {
                throw Failure(
                    .usage, "the layout has \(named.count) named images: say which", at: path.string,
                    remedy: "add :NAME, one of \(named.map(\.reference.familiar).joined(separator: ", "))")
            }
            return Content(descriptor: only.descriptor, name: only.reference)
        case .registry(let reference):
            let puller = ImagePuller(client: client, store: middle, progress: progress)
            return Content(descriptor: try await puller.pullAll(reference).descriptor, name: reference)
        case .archive(let path, let name): return try await read(path, name, for: destination, into: middle)
        }
    }

    private func read(_ path: FilePath, _ name: String?, for destination: ImagePlace, into middle: ImageStore)
        async throws -> Content
    {
        let loaded = try await progress.step("read \(path)") { step in
            let (loader, input) = (ArchiveLoader(store: middle), try ArchiveInput([path]))
            do {
                return try await loader.load(input, step: step)
            } catch let failure as Failure where failure.kind == .usage {
                // It tells no whole name; then it is called what it shall be called.
                guard let wanted = destination.name else { throw failure }
                return try await loader.load(input, name: wanted, step: step)
            }
        }
        if let name {
            let wanted = try Self.reference(name)
            guard let image = loaded.images.first(where: { $0.names.contains(wanted) }) else {
                throw Failure(
                    .notFound, "the archive has no image \(wanted.familiar)", at: path.string,
                    remedy: "it has: \(loaded.images.flatMap(\.names).map(\.familiar).joined(separator: ", "))")
            }
            return Content(descriptor: image.descriptor, name: wanted)
        }
        guard let only = loaded.images.first, loaded.images.count == 1 else {
            throw Failure(
                .usage, "the archive has \(loaded.images.count) images: say which", at: path.string,
                remedy: "add :NAME, one of \(loaded.images.flatMap(\.names).map(\.familiar).joined(separator: ", "))")
        }
        return Content(descriptor: only.descriptor, name: only.names.first)
    }

    private func select(_ name: String, in middle: ImageStore) async throws -> Content {
        let image = try await middle.select(name)
        return Content(descriptor: image.descriptor, name: image.asked ?? image.names.first)
    }

    // MARK: - To

    private func put(_ content: Content, from middle: ImageStore, to destination: ImagePlace) async throws {
        switch destination {
        case .registry(let reference):
            let pusher = ImagePusher(client: client, store: middle, progress: progress)
            _ = try await pusher.push(content.descriptor, to: reference, sources: [content.name].compactMap(\.self))
        case .store(let text):
            try await copy(content.descriptor, from: middle, to: store, as: try Self.reference(text))
        case .layout(let path, let name):
            let target = try await Self.layout(path, mustExist: false)
            try await copy(content.descriptor, from: middle, to: target, as: try Self.name(name, content, destination))
        case .archive(let path, let name):
            let image = ArchivedImage(
                names: [try Self.name(name, content, destination)], descriptor: content.descriptor)
            _ = try await progress.step("write \(path)") { step in
                try await ArchiveWriter(store: middle).save([image], to: .file(path), step: step)
            }
        }
    }

    private static func name(_ given: String?, _ content: Content, _ place: ImagePlace) throws -> Reference {
        if let given { return try reference(given) }
        guard let name = content.name else {
            throw Failure(.usage, "the image has no name at its source: name it at its destination, PATH:NAME")
        }
        return name
    }

    private static func reference(_ text: String) throws -> Reference {
        do {
            return try Reference(text)
        } catch {
            throw Failure(.usage, error.what)
        }
    }

    private func copy(
        _ descriptor: Descriptor,
        from source: ImageStore,
        to target: ImageStore,
        as name: Reference
    ) async throws {
        let session = try await target.session()
        defer { session.end() }
        if source.root != target.root {
            try await progress.step("copy \(name.familiar)") { step in
                try await source.copy(descriptor, to: target) { step.advance($0, of: $1) }
            }
        }
        // A layout of somebody's stays as its tools expect it; in the store an image is to be used.
        let isOwn = target.root == store.root
        let image =
            isOwn
            ? try await OlderImages(target, progress: progress).adopt(descriptor, named: name.familiar) : descriptor
        try await target.tag(image, as: name)
    }
}
