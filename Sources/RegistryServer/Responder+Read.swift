import FoundationEssentials
import ImageStore
import NIOHTTP1
import OCI
import Report
import SystemPackage

extension Responder {
    /// The reply to a GET or HEAD.
    func read(_ route: Route, _ head: HTTPRequestHead, _ account: Account) async throws -> Reply {
        switch route {
        case .refused(let error): throw error
        case .health: return .text("ok\n", type: "text/plain")
        case .metrics:
            return .text(
                metrics.text(
                    connections: connections.count, uploads: uploads.count, staleAccounts: access.isStale),
                type: "text/plain; version=0.0.4; charset=utf-8")
        case .root: return .text("{}", type: "application/json")
        case .catalogue(let page):
            let all = try await content.repositories().filter(account.sees)
            return try list(content: all, page, address: "/v2/_catalog?") { CatalogueBody(repositories: $0) }
        case .tags(let repository, let page):
            var all: [String]?
            for name in try await names(of: repository, account) where all == nil {
                all = try await content.tags(repository: name)
            }
            guard let all else { throw RegistryError.noRepository }
            return try list(content: all, page, address: "/v2/\(repository.path)/tags/list?\(repository.query("&"))") {
                TagsBody(name: repository.path, tags: $0)
            }
        case .manifest(let repository, let name): return try await manifest(repository, name, head, account)
        case .blob(let repository, let digest): return try await blob(repository, digest, head, account)
        case .referrers(let repository, let subject, let type, let page):
            return try await referrers(repository, subject, type, page, account)
        case .upload(let repository, let id, _):
            guard let writable else { throw RegistryError.noUpload }
            let name = try pushName(repository, of: writable)
            let upload = try uploads.take(id, owner: account.name, repository: name)
            defer { uploads.giveBack(id) }
            return Reply(.noContent, repository.uploadHeaders(id, size: upload.size))
        case .uploads: return Reply(.wrongMethod, allowed: "POST")
        }
    }

    /// The full names that a repository has for the account, the likeliest first.
    ///
    /// For an account that sees only some repositories the others are not there: status, body, headers and what is read on the
    /// way are those of a repository that nobody has.
    private func names(of repository: Route.Repository, _ account: Account) async throws -> [String] {
        // What is being pushed may go elsewhere than what is there comes from.
        let target = try writable.map { try pushName(repository, of: $0) }
        let found = try await content.fullName(
            repository: repository.path, namespace: repository.namespace, scope: account.scope)
        return [found, target].compactMap(\.self).filter(account.sees)
    }

    /// The full names under which a repository's own content is looked for; nil when what is served is served everywhere,
    /// because nobody pushes and all see all.
    private func owners(_ repository: Route.Repository, _ account: Account) async throws -> [String]? {
        guard account.isConfined || writable != nil else { return nil }
        return try await names(of: repository, account)
    }

    private func isIn(_ repositories: [String], _ digest: Digest) async throws -> Bool {
        for name in repositories where try await content.holds(digest, repository: name) { return true }
        return false
    }

    private func manifest(
        _ repository: Route.Repository, _ name: ManifestName, _ head: HTTPRequestHead, _ account: Account
    ) async throws -> Reply {
        let unknown = RegistryError(.notFound, .manifestUnknown, "there is no manifest of that name")
        let repositories = try await owners(repository, account)
        // Before it is read: the time of an answer says nothing about other repositories.
        if let repositories, case .digest(let digest) = name, try await !isIn(repositories, digest) { throw unknown }
        let document = try await content.manifest(
            repository: repository.path,
            namespace: repository.namespace,
            reference: name,
            scope: account.scope
        )
        guard let document else { throw unknown }
        let digest = document.descriptor.digest
        if let repositories, try await !isIn(repositories, digest) { throw unknown }
        var headers = contentHeaders(digest, type: document.descriptor.mediaType)
        if case .digest = name {} else { headers.replaceOrAdd(name: "Cache-Control", value: "no-cache") }
        if isKnown(digest, to: head) { return Reply(.notModified, headers) }
        return Reply(.ok, headers, .bytes(document.bytes))
    }

    private func blob(
        _ repository: Route.Repository, _ digest: Digest, _ head: HTTPRequestHead, _ account: Account
    ) async throws -> Reply {
        let unknown = RegistryError(.notFound, .blobUnknown, "there is no blob of that digest")
        if let repositories = try await owners(repository, account) {
            guard try await isIn(repositories, digest) else { throw unknown }
        }
        guard let blob = try await content.blob(digest) else { throw unknown }
        var headers = contentHeaders(digest, type: "application/octet-stream")
        headers.add(name: "Accept-Ranges", value: "bytes")
        if isKnown(digest, to: head) {
            try blob.file.close()
            return Reply(.notModified, headers)
        }
        // A range of something else than the client has the beginning of would make garbage.
        let isSame = head.headers.first(name: "if-range").map { $0 == "\"\(digest)\"" } ?? true
        let range = head.method == .GET && isSame ? head.headers.first(name: "range") : nil
        switch ByteRange(range, size: blob.size) {
        case .whole: return Reply(.ok, headers, .file(blob, 0..<blob.size))
        case .part(let part):
            headers.add(name: "Content-Range", value: "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(blob.size)")
            return Reply(.partialContent, headers, .file(blob, part))
        case .unsatisfiable:
            try blob.file.close()
            return Reply(.rangeNotSatisfiable, ["Content-Range": "bytes */\(blob.size)"])
        }
    }

    private func contentHeaders(_ digest: Digest, type: String) -> HTTPHeaders {
        [
            "Content-Type": type,
            "Docker-Content-Digest": digest.description,
            "ETag": "\"\(digest)\"",
            "Cache-Control": "max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        ]
    }

    private func isKnown(_ digest: Digest, to head: HTTPRequestHead) -> Bool {
        head.headers[canonicalForm: "if-none-match"].contains { $0 == "\"\(digest)\"" }
    }

    // MARK: - Lists

    private struct CatalogueBody: Encodable {
        var repositories: [String]
    }

    private struct TagsBody: Encodable {
        var name: String
        var tags: [String]
    }

    private func list(
        content all: [String],
        _ page: Route.Page,
        address: String,
        _ body: ([String]) -> some Encodable
    ) throws -> Reply {
        let rest = page.after.map { last in all.filter { $0 > last } } ?? all
        let part = Array(rest.prefix(page.count))
        var reply = try Reply.json(body(part))
        if let last = part.last, part.count < rest.count { reply.addNext(address, page, last) }
        return reply
    }

    /// An empty list for what has no referrers, or is not here at all, as the specification wants it.
    private func referrers(
        _ repository: Route.Repository, _ subject: Digest, _ type: String?, _ page: Route.Page, _ account: Account
    ) async throws -> Reply {
        var all: [Descriptor] = []
        for name in try await names(of: repository, account) where all.isEmpty {
            all = try await content.referrers(of: subject, repository: name)
        }
        if let type { all = all.filter { $0.artifactType == type } }
        let rest = page.after.map { last in all.filter { $0.digest.description > last } } ?? all
        let part = Array(rest.prefix(page.count))
        var reply = try Reply.json(ImageIndex(manifests: part), type: MediaType.index)
        var address = "/v2/\(repository.path)/referrers/\(subject)?\(repository.query("&"))"
        if let type {
            reply.headers.add(name: "OCI-Filters-Applied", value: "artifactType")
            address += "artifactType=\(percentEncoded(type))&"
        }
        if let last = part.last, part.count < rest.count { reply.addNext(address, page, last.digest.description) }
        return reply
    }
}

extension Reply {
    /// Tells where the next page of a list is (RFC 8288).
    fileprivate mutating func addNext(_ address: String, _ page: Route.Page, _ last: String) {
        headers.add(
            name: "Link", value: "<\(address)n=\(page.count)&last=\(percentEncoded(last))>; rel=\"next\"")
    }
}

extension Route.Repository {
    /// The query that keeps the client's registry, for addresses that we give out.
    func query(_ end: String) -> String {
        namespace.map { "ns=\(percentEncoded($0))\(end)" } ?? ""
    }

    /// What tells a client how far an upload is.
    func uploadHeaders(_ id: String, size: Int64) -> HTTPHeaders {
        [
            "Location": "/v2/\(path)/blobs/uploads/\(id)" + (namespace == nil ? "" : "?" + query("")),
            // Nothing has no range; other registries, and so clients, take this for it.
            "Range": "0-\(max(size - 1, 0))",
            "Docker-Upload-UUID": id,
        ]
    }
}
