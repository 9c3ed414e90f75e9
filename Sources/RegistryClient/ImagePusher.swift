import AsyncHTTPClient
import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// An image that is in a registry with everything it needs.
public struct PushedImage: Sendable, Hashable {
    /// The name it has there.
    public var reference: Reference
    /// What the name stands for.
    public var descriptor: Descriptor
    /// The blobs that were sent, large ones first.
    public var sentBlobs: [Descriptor] = []
    /// How many blobs the repository had.
    public var presentBlobs = 0
    /// How many blobs the registry took from another of its repositories.
    public var mountedBlobs = 0
    /// How many manifests and indexes were sent.
    public var sentDocuments = 0
    /// Bytes of all blobs and documents.
    public var totalBytes: Int64 = 0
    /// Bytes of the blobs and documents that were sent.
    public var sentBytes: Int64 = 0
    /// Bytes of the blobs and documents that the repository had.
    public var presentBytes: Int64 = 0
    /// Bytes of the blobs that the registry took from another of its repositories.
    public var mountedBytes: Int64 = 0
}

/// Pushes images from a store (OCI distribution specification 1.1, "Push"). Only what the repository lacks is sent: blobs first,
/// then documents by their digests, the name last, so that nobody ever sees an image that is not whole.
///
/// One pusher may push several images at the same time: all share its limit of uploads, and what one image has brought to a
/// registry the next one mounts. Hold a `StoreSession` from before the push to its end.
public final class ImagePusher: Sendable {
    /// More repositories than this are not asked for one blob.
    private static let sourceLimit = 2

    private let client: RegistryClient
    private let store: ImageStore
    private let progress: any ProgressSink
    private let uploads: Limiter
    private let questions: Limiter
    private let referrers: ReferrerLists
    /// Where this pusher has seen a blob: repositories by host and digest.
    private let known = Mutex<[String: [Digest: String]]>([:])

    /// Makes a pusher.
    ///
    /// - Parameter concurrency: how many blobs are sent at once, over all images.
    public init(
        client: RegistryClient,
        store: ImageStore,
        concurrency: Int = 6,
        progress: any ProgressSink = SilentProgress()
    ) {
        self.client = client
        self.store = store
        self.progress = progress
        uploads = Limiter(width: concurrency)
        questions = Limiter(width: max(concurrency, 1) * 2)
        referrers = ReferrerLists(client: client)
    }

    /// Pushes an image with everything that it refers to, and checks at the end that the name stands for it.
    ///
    /// Blobs that another repository of the same registry may have are mounted from there: the contained images of a
    /// ClusterImage under their own names, and `sources`.
    ///
    /// - Parameters:
    ///   - descriptor: a manifest or an index of the store; of an index everything is pushed, whatever the platform.
    ///   - reference: where to; a digest in it must be the descriptor's.
    ///   - sources: names of images of the same registry that may share blobs, for instance the one this was built from.
    /// - Throws: `Failure`; the name stands for what it stood for before, unless only the last check failed.
    public func push(_ descriptor: Descriptor, to reference: Reference, sources: [Reference] = []) async throws
        -> PushedImage
    {
        if let digest = reference.digest, digest != descriptor.digest {
            throw Failure(
                .usage, "\(reference.familiar) names another digest than the image has, \(descriptor.digest)",
                remedy: "leave the digest out of the name")
        }
        let endpoint = try client.configuration.pushEndpoint(for: reference)
        return try await progress.step("push \(reference.familiar)") { step in
            let plan = try await PushPlan(descriptor, in: store)
            let push = Push(
                plan: plan, endpoint: endpoint, reference: reference, errand: .push(reference.familiar),
                count: PushCount(total: plan.total, step: step))
            let present = try await present(push)
            push.count.have(present.reduce(0) { $0 + $1.size }, blobs: present.count)
            let isPresent = Set(present.map(\.digest))
            try await send(plan.blobs.filter { !isPresent.contains($0.digest) }, push, sources: sources)
            for level in plan.levels {
                try await all(level) { item in try await self.questions.run { try await self.put(item, push) } }
            }
            try await putTop(push)
            return push.count.result(reference, descriptor)
        }
    }

    /// What one push needs everywhere.
    private struct Push: Sendable {
        var plan: PushPlan
        var endpoint: Endpoint
        var reference: Reference
        var errand: Errand
        var count: PushCount
    }

    private func all<Item: Sendable>(_ items: [Item], _ body: @escaping @Sendable (Item) async throws -> Void)
        async throws
    {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for item in items { group.addTask { try await body(item) } }
            try await group.waitForAll()
        }
    }

    // MARK: - Blobs

    /// The blobs that the repository has.
    private func present(_ push: Push) async throws -> [Descriptor] {
        try await withThrowingTaskGroup(of: Descriptor?.self) { group in
            for blob in push.plan.blobs {
                group.addTask {
                    try await self.questions.run {
                        let errand = Errand.push("\(blob.digest) of \(push.reference.familiar)")
                        let has = try await self.client.hasBlob(blob, at: push.endpoint, errand: errand)
                        if has {
                            self.note(blob.digest, at: push.endpoint)
                            try await self.client.forgetUpload(of: blob, of: self.store, to: push.endpoint)
                        }
                        return has ? blob : nil
                    }
                }
            }
            return try await group.reduce(into: [Descriptor]()) { if let blob = $1 { $0.append(blob) } }
        }
    }

    private func send(_ blobs: [Descriptor], _ push: Push, sources: [Reference]) async throws {
        let hints = sources.map(\.repository)
        try await all(blobs) { blob in
            try await self.uploads.run {
                let errand = Errand.push("\(blob.digest) of \(push.reference.familiar)")
                let delivery = try await self.client.deliver(
                    blob,
                    of: self.store,
                    to: push.endpoint,
                    sources: self.sources(of: blob.digest, push, hints: hints),
                    errand: errand
                ) { push.count.sending($0) }
                push.count.delivered(blob, delivery)
                self.note(blob.digest, at: push.endpoint)
            }
        }
    }

    /// The repositories of the target's registry that may have a blob, as the registry calls them.
    private func sources(of digest: Digest, _ push: Push, hints: [String]) -> [String] {
        let host = push.endpoint.host
        var result = [known.withLock { $0[host]?[digest] }].compactMap(\.self)
        let names = (push.plan.sources[digest] ?? []) + hints
        for name in names {
            // Where that name really leads: rules may send it, or the target, elsewhere.
            guard let reference = try? Reference("\(name)"),
                let place = try? client.configuration.pushEndpoint(for: reference), place.host == host
            else { continue }
            result.append(place.repository)
        }
        var seen: Set<String> = [push.endpoint.repository]
        return Array(result.filter { seen.insert($0).inserted }.prefix(Self.sourceLimit))
    }

    private func note(_ digest: Digest, at endpoint: Endpoint) {
        known.withLock { $0[endpoint.host, default: [:]][digest] = endpoint.repository }
    }

    // MARK: - Documents

    /// Puts a document under its digest, unless the repository has it. Then, if it has a subject, it is seen to that the registry
    /// lists it there: an earlier push may have ended between the two.
    private func put(_ item: PushPlan.Item, _ push: Push) async throws {
        let digest = item.descriptor.digest
        let errand = Errand.push("the manifest \(digest) of \(push.reference.familiar)")
        if try await client.digest(of: "\(digest)", item.descriptor, at: push.endpoint, errand: errand) == digest {
            push.count.have(item.descriptor.size, blobs: 0)
            return try await referrers.add(item, nil, at: push.endpoint, of: push.reference.familiar)
        }
        let reply = try await client.put(item, as: "\(digest)", at: push.endpoint, errand: errand)
        push.count.put(item.descriptor.size)
        try await referrers.add(item, reply, at: push.endpoint, of: push.reference.familiar)
    }

    /// Puts the top under its name, and looks whether the name stands for it then.
    private func putTop(_ push: Push) async throws {
        let (top, endpoint, errand) = (push.plan.top, push.endpoint, push.errand)
        let digest = top.descriptor.digest
        let name = push.reference.tag ?? "\(digest)"
        if try await client.digest(of: name, top.descriptor, at: endpoint, errand: errand) == digest {
            push.count.have(top.descriptor.size, blobs: 0)
            return try await referrers.add(top, nil, at: endpoint, of: push.reference.familiar)
        }
        let reply = try await client.put(top, as: name, at: endpoint, errand: errand)
        push.count.put(top.descriptor.size)
        try await referrers.add(top, reply, at: endpoint, of: push.reference.familiar)
        let now = try await client.digest(of: name, top.descriptor, at: endpoint, errand: errand)
        guard now == digest else {
            throw Failure(
                .integrity,
                "\(push.reference.familiar) was pushed, but stands for \(now.map { "\($0)" } ?? "nothing") instead of \(digest)",
                at: endpoint.host,
                remedy: "see whether somebody else pushed to the same name at the same time"
            )
        }
    }
}

extension RegistryClient {
    /// The digest of what a name or digest stands for in a repository; nil when it has nothing of that name.
    fileprivate func digest(of name: String, _ descriptor: Descriptor, at endpoint: Endpoint, errand: Errand)
        async throws
        -> Digest?
    {
        try await attempting {
            let types = Self.acceptedTypes.contains(descriptor.mediaType) ? [] : [descriptor.mediaType]
            var ask = Ask(
                .HEAD, path: "manifests/\(name)", accept: Self.acceptedTypes + types, accepted: [200, 404],
                errand: errand)
            let head = try await self.send(ask, to: endpoint)
            guard head.status == 200 else { return nil }
            if let text = head.headers.first(name: "docker-content-digest"), let digest = try? Digest(text),
                digest.algorithm == descriptor.digest.algorithm
            {
                return digest
            }
            ask.method = .GET
            let reply = try await self.send(ask, to: endpoint)
            guard reply.status == 200 else { return nil }
            let bytes = try await collect(
                reply.response.body,
                limit: Int(Document.sizeLimit),
                limits: self.configuration.limits,
                origin: reply.origin.description,
                errand: errand
            )
            return Digest.of(bytes, descriptor.digest.algorithm)
        }
    }

    fileprivate func put(_ item: PushPlan.Item, as name: String, at endpoint: Endpoint, errand: Errand) async throws
        -> Reply
    {
        var ask = Ask(.PUT, path: "manifests/\(name)", accepted: [200, 201, 202, 204], errand: errand)
        ask.headers.add(name: "Content-Type", value: item.descriptor.mediaType)
        ask.body = .bytes(ByteBuffer(bytes: item.bytes))
        let reply = try await attempting { try await self.send(ask, to: endpoint) }
        try Self.check(reply, has: item.descriptor.digest, errand: errand)
        return reply
    }
}
