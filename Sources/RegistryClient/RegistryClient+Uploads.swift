import FoundationEssentials
import ImageStore
import NIOCore
import NIOHTTP1
import OCI
import Report

/// How a blob came to be in a registry.
enum Delivery: Hashable, Sendable {
    /// It was there.
    case present
    /// The registry took it from another of its repositories.
    case mounted
    /// It was sent.
    case sent
}

extension RegistryClient {
    /// Whether a repository has a blob.
    func hasBlob(_ blob: Descriptor, at endpoint: Endpoint, errand: Errand) async throws -> Bool {
        let ask = Ask(.HEAD, path: "blobs/\(blob.digest)", accepted: [200, 404], errand: errand)
        let reply = try await attempting { try await self.send(ask, to: endpoint) }
        return reply.status == 200
    }

    /// Deletes what an earlier push noted about a blob that the repository has by now.
    func forgetUpload(of blob: Descriptor, of store: ImageStore, to endpoint: Endpoint) async throws {
        guard blob.size >= configuration.limits.resumableSize else { return }
        try await store.deleteNote(UploadNote.name(of: blob, at: endpoint))
    }

    /// Brings a blob that a repository lacks there: from another repository of the registry, or else from the store.
    ///
    /// - Parameters:
    ///   - sources: repositories of the same registry that may have it.
    ///   - progress: gets the bytes that were sent; a negative number when some have to be sent again.
    func deliver(
        _ blob: Descriptor,
        of store: ImageStore,
        to endpoint: Endpoint,
        sources: [String],
        errand: Errand,
        progress: @escaping ByteProgress
    ) async throws -> Delivery {
        var session: UploadSession?
        for source in sources {
            if let unused = session { await drop(unused, at: endpoint, errand: errand) }
            switch try await mount(blob, from: source, at: endpoint, errand: errand) {
            case .mounted: return .mounted
            case .refused(let begun): session = begun
            }
        }
        return try await upload(
            blob, of: store, to: endpoint, session: session, errand: errand, progress: progress)
    }

    // MARK: - Mounts

    private enum Mount {
        case mounted
        /// With the upload that registries then begin.
        case refused(UploadSession?)
    }

    private func mount(_ blob: Descriptor, from source: String, at endpoint: Endpoint, errand: Errand) async throws
        -> Mount
    {
        let query = "mount=\(percentEncoded("\(blob.digest)"))&from=\(percentEncoded(source))"
        let ask = Ask(.POST, path: "blobs/uploads/?\(query)", accepted: [201, 202], errand: errand)
        do {
            let reply = try await attempting { try await self.send(ask, to: endpoint.with(.mount(from: source))) }
            if reply.status == 201 {
                try Self.check(reply, has: blob.digest, errand: errand)
                return .mounted
            }
            return .refused(try session(of: reply, errand: errand))
        } catch let failure as Failure where [.denied, .notFound, .integrity, .unavailable].contains(failure.kind) {
            // A mount is a short cut: who may not take it goes the usual way.
            return .refused(nil)
        }
    }

    /// Tells the registry that an upload is not needed; when that fails, the registry drops it after a while by itself.
    private func drop(_ session: UploadSession, at endpoint: Endpoint, errand: Errand) async {
        let target = Ask.Target.address(session.url, registry: session.registry)
        _ = try? await send(Ask(.DELETE, target, accepted: [200, 202, 204], errand: errand), to: endpoint)
    }

    // MARK: - Uploads

    /// Sends a blob, going on where the registry has got to when the connection breaks, or when an earlier push ended in the
    /// middle of it.
    private func upload(
        _ blob: Descriptor,
        of store: ImageStore,
        to endpoint: Endpoint,
        session: UploadSession?,
        errand: Errand,
        progress: @escaping ByteProgress
    ) async throws -> Delivery {
        let reader = try await BlobReader(blob, in: store)
        let upload = Upload(reader, progress: progress)
        var session = session
        // What is small is sent again sooner than it is asked for.
        let isWorthNoting = blob.size >= configuration.limits.resumableSize
        let note = isWorthNoting ? await UploadNote(of: blob, to: endpoint, in: store) : nil
        if let begun = note?.begun {
            if let unused = session { await drop(unused, at: endpoint, errand: errand) }
            session = begun
            upload.takeUp()
        }
        let delivery: Delivery
        do {
            delivery = try await attempting {
                do {
                    return try await self.attempt(upload, &session, note, to: endpoint, errand: errand)
                } catch var error as AttemptError {
                    error = self.judge(error, upload, of: &session, at: endpoint)
                    throw error
                }
            }
        } catch {
            upload.show(0)
            note?.close(keeping: session != nil)
            throw error
        }
        note?.close(keeping: false)
        if delivery == .sent { upload.show(blob.size) }
        return delivery
    }

    /// One attempt to bring the blob, or its rest, there.
    private func attempt(
        _ upload: Upload,
        _ session: inout UploadSession?,
        _ note: UploadNote?,
        to endpoint: Endpoint,
        errand: Errand
    ) async throws -> Delivery {
        if let known = session {
            let isTakenUp = upload.isTakenUp
            do {
                session = try await look(known, upload, at: endpoint, errand: errand)
            } catch let error where isTakenUp && Self.isFinal(error, for: known) {
                session = nil
            }
            if session == nil, isTakenUp {
                upload.beginAnew()
                // Perhaps it is forgotten because the earlier push had brought all of it.
                if try await hasBlob(upload.reader.blob, at: endpoint, errand: errand) { return .present }
            }
        }
        var current: UploadSession
        if let session {
            current = session
        } else {
            upload.show(0)
            current = try await begin(at: endpoint, errand: errand)
            session = current
        }
        await note?.keep(current)
        try await send(upload, &current, to: endpoint, errand: errand) { now in
            session = now
            await note?.keep(now)
        }
        return .sent
    }

    /// Whether an error tells that an earlier push's upload is of no use any more. A registry that is out of reach may be back soon;
    /// whom it had named as the place for the bytes may be gone for good.
    private static func isFinal(_ error: any Error, for session: UploadSession) -> Bool {
        switch error {
        case let error as AttemptError: error.retry == .never || Origin(session.url) != session.registry
        case is Failure: true
        default: false
        }
    }

    private func begin(at endpoint: Endpoint, errand: Errand) async throws -> UploadSession {
        let reply = try await send(Ask(.POST, path: "blobs/uploads/", accepted: [202], errand: errand), to: endpoint)
        guard let session = try session(of: reply, errand: errand) else {
            throw AttemptError(
                Failure(.integrity, "cannot \(errand): the registry did not say where to", at: reply.origin.description)
            )
        }
        return session
    }

    private func session(of reply: Reply, errand: Errand) throws -> UploadSession? {
        guard let location = reply.headers.first(name: "location") else { return nil }
        let smallest = reply.headers.first(name: "oci-chunk-min-length").flatMap { Int64($0.trimmingBlanks()) } ?? 0
        return UploadSession(
            url: try next(location, after: reply.url, errand: errand).url,
            registry: reply.origin,
            smallestChunk: min(max(smallest, 0), 1 << 30)
        )
    }

    /// Sends what the registry does not have yet: whole, or chunk by chunk when that is much.
    private func send(
        _ upload: Upload,
        _ session: inout UploadSession,
        to endpoint: Endpoint,
        errand: Errand,
        noting: (UploadSession) async -> Void
    ) async throws {
        let blob = upload.reader.blob
        let chunk = max(configuration.limits.chunkSize, session.smallestChunk, 1)
        let isWhole = session.offset == 0 && (blob.size <= chunk || refusesChunks(endpoint.host))
        if !isWhole {
            while session.offset < blob.size {
                let count = min(chunk, blob.size - session.offset)
                try await patch(upload, &session, count: count, to: endpoint, errand: errand)
                await noting(session)
            }
        }
        var ask = Ask(
            .PUT, .address(session.closing("\(blob.digest)"), registry: session.registry), accepted: [200, 201, 204],
            errand: errand)
        ask.headers.add(name: "Content-Type", value: "application/octet-stream")
        if isWhole, blob.size > 0 {
            try await renewToken(upload, at: endpoint, errand: errand)
            ask.body = .file(upload.slice(from: 0, count: blob.size))
        } else {
            ask.body = .bytes(ByteBuffer())
        }
        let reply = try await send(ask, to: endpoint)
        try Self.check(reply, has: blob.digest, errand: errand)
    }

    /// A token that ran out is replaced before the bytes are sent: a refusal in the middle of them would cost them.
    private func renewToken(_ upload: Upload, at endpoint: Endpoint, errand: Errand) async throws {
        upload.hasBegun = true
        guard authenticator.lacksToken(for: endpoint) else { return }
        _ = try await send(
            Ask(.HEAD, path: "blobs/\(upload.reader.blob.digest)", accepted: [200, 404], errand: errand), to: endpoint)
    }

    private func patch(
        _ upload: Upload,
        _ session: inout UploadSession,
        count: Int64,
        to endpoint: Endpoint,
        errand: Errand
    ) async throws {
        let (start, end) = (session.offset, session.offset + count)
        var ask = Ask(
            .PATCH, .address(session.url, registry: session.registry), accepted: [200, 201, 202, 204], errand: errand)
        ask.headers.add(name: "Content-Type", value: "application/octet-stream")
        ask.headers.add(name: "Content-Range", value: "\(start)-\(end - 1)")
        try await renewToken(upload, at: endpoint, errand: errand)
        ask.body = .file(upload.slice(from: start, count: count))
        let reply = try await send(ask, to: endpoint)
        if let location = reply.headers.first(name: "location") {
            session.url = try next(location, after: reply.url, errand: errand).url
        }
        let taken = UploadSession.offset(reply.headers) ?? end
        guard (start...end).contains(taken) else {
            throw Failure(
                .integrity,
                "cannot \(errand): the registry says it has \(taken) bytes after it was sent \(end)",
                at: reply.origin.description
            )
        }
        guard taken > start else {
            throw AttemptError(
                Failure(
                    .unreachable, "cannot \(errand): the registry took nothing of a chunk", at: reply.origin.description
                ),
                retry: .later(nil)
            )
        }
        session.offset = taken
        upload.show(taken)
        upload.reached(taken)
    }

    /// After a failure, or the end of an earlier push, asks how far the registry has got.
    ///
    /// - Returns: nil when it has forgotten the upload, so that another one must be begun.
    private func look(_ session: UploadSession, _ upload: Upload, at endpoint: Endpoint, errand: Errand) async throws
        -> UploadSession?
    {
        guard upload.hasBegun else { return session }
        // The rest could only be sent as a chunk.
        guard !refusesChunks(endpoint.host) else { return nil }
        var session = session
        // Whatever a registry answers that cannot say: a new upload is always possible.
        let statuses: Set<UInt> = [200, 202, 204, 400, 403, 404, 405, 409, 410, 416, 501]
        let ask = Ask(.GET, .address(session.url, registry: session.registry), accepted: statuses, errand: errand)
        var reply = try await send(ask, to: endpoint)
        // Until it notices that the client of before has gone, it holds the upload for that one.
        for round in 1..<max(configuration.limits.attempts, 2) where reply.status == 409 {
            try await Task.sleep(for: configuration.limits.delay(after: round, wish: nil))
            reply = try await send(ask, to: endpoint)
        }
        guard [200, 202, 204].contains(reply.status), let offset = UploadSession.offset(reply.headers),
            offset <= upload.reader.blob.size
        else {
            upload.show(0)
            return nil
        }
        if let location = reply.headers.first(name: "location") {
            session.url = try next(location, after: reply.url, errand: errand).url
        }
        session.offset = offset
        upload.show(offset)
        upload.found(offset)
        return session
    }

    /// Decides what an error means for the upload.
    private func judge(_ error: AttemptError, _ upload: Upload, of session: inout UploadSession?, at endpoint: Endpoint)
        -> AttemptError
    {
        var error = error
        error.gotOn = upload.gotOn()
        guard let status = error.status, let begun = session else { return error }
        let refusals: Set<UInt> = begun.offset == 0 ? [400, 404, 405, 411, 415, 416, 501] : [404, 405, 501]
        if upload.isFirstChunk, refusals.contains(status), !refusesChunks(endpoint.host) {
            // This registry takes blobs only in one piece.
            noteRefusesChunks(endpoint.host)
            session = nil
            error.retry = .later(.zero)
            error.gotOn = true
        } else if status == 404 || status == 410 {
            // The registry has forgotten the upload.
            session = nil
            error.retry = .later(nil)
        } else if status == 400, upload.isTakenUp {
            // What the earlier push sent and our rest make no whole.
            upload.beginAnew()
            session = nil
            error.retry = .later(.zero)
            error.gotOn = true
        } else if status == 416 || status == 409 {
            // We disagree on how far it is, or an earlier request of ours still holds it: the next attempt asks.
            error.retry = .later(nil)
        }
        return error
    }

    /// Compares the digest that an answer announces, if it does.
    static func check(_ reply: Reply, has digest: Digest, errand: Errand) throws {
        guard let text = reply.headers.first(name: "docker-content-digest") else { return }
        guard let announced = try? Digest(text), announced.algorithm != digest.algorithm || announced == digest else {
            throw Failure(
                .integrity,
                "cannot \(errand): the registry says it took \(printable(text, limit: 200)) instead of \(digest)",
                at: reply.origin.description,
                remedy: "look at the image with: sealer fsck; if it is whole, tell whoever runs the registry"
            )
        }
    }
}
