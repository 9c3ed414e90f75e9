import FoundationEssentials
import ImageStore
import NIOHTTP1
import OCI
import Report
import SystemPackage

/// A reply, without the connection's part of it.
struct Reply: Sendable {
    /// What comes after the head.
    enum Body: Sendable {
        case bytes(Data)
        /// A part of a file that the sender closes.
        case file(ImageStore.OpenBlob, Range<Int64>)
    }

    var status: HTTPResponseStatus
    var headers: HTTPHeaders
    var body: Body
    /// What went wrong here, for the log and not for the client.
    var problem: String?

    init(_ status: HTTPResponseStatus, _ headers: HTTPHeaders = [:], _ body: Body = .bytes(Data())) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    init(_ error: RegistryError) {
        self.init(error.status, ["Content-Type": "application/json"], .bytes(error.body))
        if error.status == .methodNotAllowed { headers.add(name: "Allow", value: "GET, HEAD") }
    }

    /// The length of the body in bytes.
    var length: Int64 {
        switch body {
        case .bytes(let bytes): Int64(bytes.count)
        case .file(_, let range): range.upperBound - range.lowerBound
        }
    }
}

/// Finds the reply to a request.
struct Responder: Sendable {
    let content: any RegistryContent

    /// Never throws: what goes wrong is a reply too.
    func reply(to head: HTTPRequestHead) async -> Reply {
        guard head.method == .GET || head.method == .HEAD else { return Reply(.readOnly) }
        do {
            return try await reply(to: Route(head.uri), head)
        } catch let failure as Failure where failure.kind == .notFound {
            return Reply(.init(.notFound, .nameUnknown, failure.what))
        } catch {
            // What is wrong with our disk is nobody's business out there.
            var reply = Reply(.init(.internalServerError, .unknown, "the registry failed, its log says why"))
            reply.problem = String(describing: error)
            return reply
        }
    }

    private func reply(to route: Route, _ head: HTTPRequestHead) async throws -> Reply {
        switch route {
        case .root: return json("{}")
        case .health: return Reply(.ok, ["Content-Type": "text/plain"], .bytes(Data("ok\n".utf8)))
        case .refused(let error): return Reply(error)
        case .catalogue(let page):
            return try list(content: await content.repositories(), page, address: "/v2/_catalog?") {
                CatalogueBody(repositories: $0)
            }
        case .tags(let repository, let page):
            let all = try await content.tags(repository: repository.path, namespace: repository.namespace)
            guard let all else {
                return Reply(.init(.notFound, .nameUnknown, "there is no repository of that name"))
            }
            let namespace = repository.namespace.map { "ns=\($0)&" } ?? ""
            return try list(content: all, page, address: "/v2/\(repository.path)/tags/list?\(namespace)") {
                TagsBody(name: repository.path, tags: $0)
            }
        case .manifest(let repository, let name):
            return try await manifest(repository, name, head)
        case .blob(let digest):
            return try await blob(digest, head)
        }
    }

    private func manifest(_ repository: Route.Repository, _ name: ManifestName, _ head: HTTPRequestHead) async throws
        -> Reply
    {
        let document = try await content.manifest(
            repository: repository.path,
            namespace: repository.namespace,
            reference: name
        )
        guard let document else {
            return Reply(.init(.notFound, .manifestUnknown, "there is no manifest of that name"))
        }
        let digest = document.descriptor.digest
        var headers = contentHeaders(digest, type: document.descriptor.mediaType)
        if case .digest = name {} else { headers.replaceOrAdd(name: "Cache-Control", value: "no-cache") }
        if isKnown(digest, to: head) { return Reply(.notModified, headers) }
        return Reply(.ok, headers, .bytes(document.bytes))
    }

    private func blob(_ digest: Digest, _ head: HTTPRequestHead) async throws -> Reply {
        guard let blob = try await content.blob(digest) else {
            return Reply(.init(.notFound, .blobUnknown, "there is no blob of that digest"))
        }
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
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var reply = Reply(.ok, ["Content-Type": "application/json"], .bytes(try encoder.encode(body(part))))
        if let last = part.last, part.count < rest.count {
            let escaped = last.replacing(":", with: "%3A").replacing("/", with: "%2F")
            reply.headers.add(name: "Link", value: "<\(address)n=\(page.count)&last=\(escaped)>; rel=\"next\"")
        }
        return reply
    }

    private func json(_ text: String) -> Reply {
        Reply(.ok, ["Content-Type": "application/json"], .bytes(Data(text.utf8)))
    }
}
