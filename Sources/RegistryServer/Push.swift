import FoundationEssentials
import NIOCore
import NIOHTTP1
import OCI
import Report

/// One request that changes something, from an account (OCI distribution specification 1.1, "Push" and "Content Management").
struct Push {
    let responder: Responder
    let content: any WritableRegistryContent
    let account: Account
    let head: HTTPRequestHead
    let body: RequestBody

    // MARK: - Uploads

    /// Begins an upload, does all of one, or takes the blob from another repository.
    func begin(_ repository: Route.Repository, _ start: Route.Start) async throws -> Reply {
        let name = try target(repository)
        if let mount = start.mount, try await canMount(mount, start.from, repository.namespace),
            try await content.mount(mount, to: name)
        {
            return created(repository, "blobs/\(mount)", mount)
        }
        guard !responder.uploads.isFull else { throw RegistryError.tooManyUploads }
        try checkLength(after: 0)
        let upload = try await content.upload(to: name, algorithm: start.digest?.algorithm ?? start.algorithm)
        guard let id = responder.uploads.open(upload, owner: account.name, repository: name) else {
            try await upload.abandon()
            throw RegistryError.tooManyUploads
        }
        guard let digest = start.digest else {
            return Reply(.accepted, repository.uploadHeaders(id, size: 0))
        }
        // The whole blob is in this request: nobody continues it.
        let taken = try responder.uploads.take(id, owner: account.name, repository: name)
        return try await ending(id, taken) {
            try await receive(into: taken)
            try await complete(taken, as: digest)
            return created(repository, "blobs/\(digest)", digest)
        }
    }

    /// A mount must not show anybody what they may not read (CVE-2024-39897).
    ///
    /// - Parameter from: nil leaves it to the registry where the blob is.
    private func canMount(_ digest: Digest, _ from: String?, _ namespace: String?) async throws -> Bool {
        guard let from else { return !account.isConfined }
        do {
            let source = try await content.fullName(repository: from, namespace: namespace, scope: account.scope)
            guard let source else { return false }
            return try await content.holds(digest, repository: source)
        } catch let failure as Failure where failure.kind == .notFound {
            return false
        }
    }

    /// Adds the next part.
    func append(_ repository: Route.Repository, _ id: String) async throws -> Reply {
        let upload = try responder.uploads.take(id, owner: account.name, repository: try target(repository))
        if let refusal = try outOfOrder(repository, id, upload) { return refusal }
        return try await continuing(id, upload) {
            try await receive(into: upload)
            return Reply(.accepted, repository.uploadHeaders(id, size: upload.size))
        }
    }

    /// Adds the last part, if there is one, and names the blob.
    func finish(_ repository: Route.Repository, _ id: String, _ digest: Digest) async throws -> Reply {
        let upload = try responder.uploads.take(id, owner: account.name, repository: try target(repository))
        if let refusal = try outOfOrder(repository, id, upload) { return refusal }
        let part = try await continuing(id, upload) {
            try await receive(into: upload)
            return Reply(.ok)
        }
        guard part.status == .ok else { return part }
        let taken = try responder.uploads.take(id, owner: account.name, repository: try target(repository))
        return try await ending(id, taken) {
            try await complete(taken, as: digest)
            return created(repository, "blobs/\(digest)", digest)
        }
    }

    /// Drops an upload.
    func cancel(_ repository: Route.Repository, _ id: String) async throws -> Reply {
        let upload = try responder.uploads.take(id, owner: account.name, repository: try target(repository))
        responder.uploads.end(id)
        try await upload.abandon()
        return Reply(.noContent)
    }

    /// Runs the part of a request that adds to an upload. When the client breaks off, what came is kept for its next try; after
    /// any other error nobody knows what is there, so all of it goes.
    private func continuing(_ id: String, _ upload: any BlobUpload, _ part: () async throws -> Reply) async throws
        -> Reply
    {
        do {
            let reply = try await part()
            responder.uploads.giveBack(id)
            return reply
        } catch is BodyCutOff {
            responder.uploads.giveBack(id)
            throw BodyCutOff()
        } catch {
            responder.uploads.end(id)
            try await upload.abandon()
            throw error
        }
    }

    /// Runs the part of a request that ends an upload, well or not.
    private func ending(_ id: String, _ upload: any BlobUpload, _ part: () async throws -> Reply) async throws -> Reply
    {
        do {
            let reply = try await part()
            responder.uploads.end(id)
            return reply
        } catch {
            responder.uploads.end(id)
            try await upload.abandon()
            throw error
        }
    }

    private func complete(_ upload: any BlobUpload, as digest: Digest) async throws {
        do {
            try await upload.finish(as: digest)
        } catch let failure as Failure where failure.kind == .integrity {
            throw RegistryError(.badRequest, .digestInvalid, failure.what)
        }
    }

    /// The reply to a part that does not begin where the last one ended, or that is not what it says; nil when all is well.
    private func outOfOrder(_ repository: Route.Repository, _ id: String, _ upload: any BlobUpload) throws -> Reply? {
        do {
            try checkLength(after: upload.size)
            let fields = head.headers["content-range"]
            guard let field = fields.first else { return nil }
            guard fields.count == 1, let range = ContentRange(field) else {
                throw RegistryError(.badRequest, .blobUploadInvalid, "the Content-Range is not START-END")
            }
            guard range.first == upload.size else {
                responder.uploads.giveBack(id)
                let error = RegistryError(
                    .rangeNotSatisfiable, .blobUploadInvalid,
                    "the part begins at byte \(range.first), the upload has \(upload.size) bytes")
                var reply = Reply(error)
                reply.headers.add(contentsOf: repository.uploadHeaders(id, size: upload.size))
                return reply
            }
            guard let length = announcedLength, length == range.count else {
                throw RegistryError(.badRequest, .sizeInvalid, "the Content-Range and the Content-Length differ")
            }
            return nil
        } catch {
            responder.uploads.giveBack(id)
            throw error
        }
    }

    private var announcedLength: Int64? { head.headers.first(name: "content-length").flatMap { Int64($0) } }

    private func checkLength(after size: Int64) throws {
        guard let length = announcedLength, length > responder.blobLimit - size else { return }
        throw RegistryError.blobTooLarge
    }

    /// Passes the body on, piece by piece, as fast as it is written: while one piece is hashed and written, the next one comes.
    private func receive(into upload: any BlobUpload) async throws {
        // Two at a time are in memory.
        let size = max(responder.chunkSize / 2, 1)
        var piece = try await body.next(atLeast: size)
        while let bytes = piece {
            guard Int64(bytes.readableBytes) <= responder.blobLimit - upload.size else {
                throw RegistryError.blobTooLarge
            }
            async let written: Void = upload.write(bytes)
            do {
                piece = try await body.next(atLeast: size)
            } catch {
                // What came is kept for the client's next try.
                try await written
                throw error
            }
            try await written
        }
    }

    // MARK: - Manifests

    /// Takes a manifest in.
    func put(_ repository: Route.Repository, _ name: ManifestName) async throws -> Reply {
        let target = try target(repository)
        let limit = PushedDocument.sizeLimit
        let tooLarge = RegistryError(.payloadTooLarge, .sizeInvalid, "the manifest is larger than \(limit) bytes")
        if let length = announcedLength, length > Int64(limit) { throw tooLarge }
        guard let bytes = try await body.whole(limit: limit) else { throw tooLarge }
        let type = head.headers.first(name: "content-type").map { field in
            String(field.prefix { $0 != ";" }.filter { $0 != " " })
        }
        let pushed = try await content.put(
            Data(bytes.readableBytesView),
            mediaType: type,
            to: target,
            as: name,
            isConfined: account.isConfined
        )
        var reply = created(repository, "manifests/\(pushed.digest)", pushed.digest)
        if let subject = pushed.subject { reply.headers.add(name: "OCI-Subject", value: subject.description) }
        return reply
    }

    // MARK: - Deletion

    /// Deletes a tag, or a manifest with its tags. Neither when deletion is off (CVE-2026-41888).
    func delete(_ repository: Route.Repository, _ name: ManifestName) async throws -> Reply {
        let target = try target(repository)
        guard responder.isDeletable else { throw RegistryError.noDeletion }
        guard try await content.delete(name, from: target) else {
            throw RegistryError(.notFound, .manifestUnknown, "there is no manifest of that name")
        }
        return Reply(.accepted)
    }

    /// Deletes a blob that no manifest refers to.
    func delete(_ repository: Route.Repository, blob digest: Digest) async throws -> Reply {
        let target = try target(repository)
        guard responder.isDeletable else { throw RegistryError.noDeletion }
        guard try await content.delete(digest, from: target) else {
            throw RegistryError(.notFound, .blobUnknown, "there is no blob of that digest")
        }
        return Reply(.accepted)
    }

    // MARK: - Both

    /// The full name of the repository that is changed.
    ///
    /// - Throws: `RegistryError` when the account may not change it.
    private func target(_ repository: Route.Repository) throws -> String {
        guard account.mayPush else { throw RegistryError.denied }
        let name = try responder.pushName(repository, of: content)
        guard account.sees(name) else { throw RegistryError.denied }
        return name
    }

    private func created(_ repository: Route.Repository, _ address: String, _ digest: Digest) -> Reply {
        let query = repository.namespace == nil ? "" : "?" + repository.query("")
        return Reply(
            .created,
            ["Location": "/v2/\(repository.path)/\(address)\(query)", "Docker-Content-Digest": digest.description])
    }
}
