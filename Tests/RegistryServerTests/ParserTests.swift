import NIOHTTP1
import OCI
import TestSupport
import Testing

@testable import RegistryServer

@Suite struct ByteRangeTests {
    @Test(arguments: [
        ("bytes=0-0", ByteRange.part(0..<1)), ("bytes=0-", .part(0..<10)), ("bytes=2-5", .part(2..<6)),
        ("bytes=9-100", .part(9..<10)), ("bytes=-3", .part(7..<10)), ("bytes=-100", .part(0..<10)),
        ("BYTES=1-1", .part(1..<2)), ("bytes=5-99999999999999999999", .part(5..<10)),
        ("bytes=10-", .unsatisfiable), ("bytes=10-11", .unsatisfiable), ("bytes=-0", .unsatisfiable),
        ("bytes=99999999999999999999-", .unsatisfiable),
        ("bytes=5-2", .unsatisfiable), ("bytes=-", .whole), ("bytes=", .whole), ("bytes", .whole), ("", .whole),
        ("bytes=0-1,3-4", .whole), ("bytes=a-b", .whole), ("bytes=+1-2", .whole), ("bytes=1--2", .whole),
        ("items=0-1", .whole), ("bytes=0x1-2", .whole), ("bytes=٣-4", .whole),
    ])
    func ofTenBytes(_ header: String, _ range: ByteRange) {
        #expect(ByteRange(header, size: 10) == range)
    }

    @Test func emptyContentHasNoPart() {
        #expect(ByteRange("bytes=0-", size: 0) == .unsatisfiable)
        #expect(ByteRange("bytes=-1", size: 0) == .unsatisfiable)
        #expect(ByteRange(nil, size: 0) == .whole)
    }

    /// A part is never empty and never outside; what it says is what a plain reading of the numbers says.
    @Test func parts() {
        var random = SeededGenerator(seed: 21)
        for _ in 0..<20_000 {
            let size = Int64.random(in: 0...20, using: &random)
            let first = Bool.random(using: &random) ? Int64.random(in: 0...25, using: &random) : nil
            let last = Bool.random(using: &random) ? Int64.random(in: 0...25, using: &random) : nil
            let header = "bytes=\(first.map(String.init) ?? "")-\(last.map(String.init) ?? "")"
            let wanted = (0..<size).filter { position in
                switch (first, last) {
                case (let first?, let last?): first <= position && position <= last
                case (let first?, nil): position >= first
                case (nil, let last?): position >= size - last
                case (nil, nil): true
                }
            }
            switch ByteRange(header, size: size) {
            case .part(let range): #expect(Array(range) == wanted, "\(header) of \(size)")
            case .unsatisfiable: #expect(wanted.isEmpty, "\(header) of \(size)")
            case .whole: #expect(first == nil && last == nil, "\(header) of \(size)")
            }
        }
    }

    @Test func garbage() {
        var random = SeededGenerator(seed: 22)
        let alphabet = Array("bytes=0123456789-,; \u{0}é")
        for _ in 0..<20_000 {
            let header = String(
                (0..<Int.random(in: 0...16, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "-" })
            if case .part(let range) = ByteRange(header, size: 7) {
                #expect(!range.isEmpty && range.lowerBound >= 0 && range.upperBound <= 7)
            }
        }
    }
}

@Suite struct ContentRangeTests {
    @Test(arguments: [
        ("0-0", 0, 1), ("0-1023", 0, 1024), ("1024-2047", 1024, 1024), ("bytes 5-9/100", 5, 5), ("bytes=5-9", 5, 5),
        ("bytes 5-9/*", 5, 5),
    ])
    func reads(_ header: String, first: Int64, count: Int64) {
        let range = ContentRange(header)
        #expect(range?.first == first)
        #expect(range?.count == count)
    }

    @Test(arguments: [
        "", "-", "5", "5-", "-5", "9-5", "a-b", "0-1-2", "+0-1", "0x1-2", "0-9223372036854775807",
        "99999999999999999999-99999999999999999999", "٣-4", "0-0" + String(repeating: " ", count: 200),
    ])
    func refuses(_ header: String) {
        #expect(ContentRange(header) == nil)
    }
}

@Suite struct RouteTests {
    private static let hex = String(repeating: "a", count: 64)

    private func digest() throws -> Digest { try Digest("sha256:\(Self.hex)") }

    @Test func knowsTheAddresses() throws {
        let digest = try digest()
        let nginx = Route.Repository(path: "library/nginx", namespace: nil)
        let mirrored = Route.Repository(path: "library/nginx", namespace: "docker.io")
        let expected: [(String, Route)] = [
            ("/v2/", .root), ("/v2", .root), ("/healthz", .health),
            ("/v2/_catalog", .catalogue(.init(count: 1000, after: nil))),
            ("/v2/_catalog?n=5&last=a%2Fb", .catalogue(.init(count: 5, after: "a/b"))),
            ("/v2/library/nginx/manifests/1.25", .manifest(nginx, .tag("1.25"))),
            ("/v2/library/nginx/manifests/sha256:\(Self.hex)", .manifest(nginx, .digest(digest))),
            ("/v2/library/nginx/manifests/sha256%3A\(Self.hex)?ns=docker.io", .manifest(mirrored, .digest(digest))),
            ("/v2/library/nginx/blobs/sha256:\(Self.hex)", .blob(nginx, digest)), ("/metrics", .metrics),
            ("/v2/library/nginx/blobs/uploads/", .uploads(nginx, .init())),
            ("/v2/library/nginx/blobs/uploads", .uploads(nginx, .init())),
            ("/v2/library/nginx/blobs/uploads/?digest=sha256:\(Self.hex)", .uploads(nginx, .init(digest: digest))),
            (
                "/v2/library/nginx/blobs/uploads/?mount=sha256%3A\(Self.hex)&from=a%2Fb",
                .uploads(nginx, .init(mount: digest, from: "a/b"))
            ),
            ("/v2/library/nginx/blobs/uploads/?digest-algorithm=sha512", .uploads(nginx, .init(algorithm: .sha512))),
            ("/v2/library/nginx/blobs/uploads/x-1?ns=docker.io", .upload(mirrored, id: "x-1", nil)),
            ("/v2/library/nginx/blobs/uploads/x-1?digest=sha256:\(Self.hex)", .upload(nginx, id: "x-1", digest)),
            (
                "/v2/library/nginx/referrers/sha256:\(Self.hex)?artifactType=a%2Fb",
                .referrers(nginx, digest, artifactType: "a/b", .init(count: 1000, after: nil))
            ),
            ("/v2/library/nginx/tags/list?ns=docker.io&n=0", .tags(mirrored, .init(count: 0, after: nil))),
            ("/v2/localhost:5000/a/manifests/x", .manifest(.init(path: "localhost:5000/a", namespace: nil), .tag("x"))),
            (
                "/v2/tags/list/tags/list",
                .tags(.init(path: "tags/list", namespace: nil), .init(count: 1000, after: nil))
            ),
        ]
        for (target, route) in expected { #expect(Route(target) == route, "\(target)") }
    }

    @Test(arguments: ["999999999999999999999999", "1000000"])
    func listsAreBounded(_ count: String) {
        #expect(Route("/v2/_catalog?n=\(count)") == .catalogue(.init(count: Route.pageLimit, after: nil)))
    }

    @Test(arguments: [
        "/", "", "/v1/", "/v2/x", "/v2//manifests/x", "/v2/a/manifests/", "/v2/a/b/uploads/", "/v2/a/blobs/x",
        "/etc/passwd",
        "/v2/../../etc/manifests/x", "/v2/a%2f..%2fb/manifests/x", "/v2/%2e%2e/manifests/x", "/v2/a/manifests/..",
        "/v2/a/blobs/sha256:../../../etc/passwd", "/v2/a/blobs/sha256:\(hex.uppercased())", "/v2/a/manifests/sha256:aa",
        "/v2/A/manifests/x", "/v2/a/manifests/x%00", "/v2/a/manifests/%zz", "/v2/a/manifests/%", "/v2/_catalog?n=-1",
        "/v2/_catalog?n=x", "/v2/_catalog?n=", "/v2/a/manifests/x?ns=evil%20host", "http://x/v2/",
        "/v2/a/manifests/x\u{7f}", "/v2/a/blobs/uploads/?digest=sha256:1", "/v2/a/blobs/uploads/?mount=../x&from=a",
        "/v2/a/blobs/uploads/?mount=sha256:\(hex)&from=../../etc", "/v2/a/blobs/uploads/x?digest=md5:00",
        "/v2/../blobs/uploads/", "/v2/a/referrers/x", "/v2/a/blobs/uploads/?digest-algorithm=md5",
    ])
    func refuses(_ target: String) {
        guard case .refused(let error) = Route(target) else {
            Issue.record("\(target) is not refused")
            return
        }
        #expect(error.status.code >= 400 && error.status.code < 500)
    }

    @Test func longAddressesAreRefused() {
        guard case .refused(let error) = Route("/v2/" + String(repeating: "a/", count: 4000)) else {
            Issue.record("not refused")
            return
        }
        #expect(error.status == .uriTooLong)
    }

    /// Whatever comes: no crash, and what is not refused has a valid name.
    @Test func garbage() throws {
        var random = SeededGenerator(seed: 23)
        let pieces = [
            "/v2", "/", "a", "..", "manifests", "blobs", "tags", "list", "%2F", "%2e", "?n=", "&ns=", "docker.io", ":",
            "sha256:", Self.hex, "%", "_catalog", "é", "uploads", "referrers", "?mount=", "&from=", "&digest=",
        ]
        for _ in 0..<30_000 {
            let target = (0..<Int.random(in: 0...10, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            let repository: Route.Repository? =
                switch Route(target) {
                case .manifest(let repository, _), .blob(let repository, _), .uploads(let repository, _),
                    .upload(let repository, _, _), .referrers(let repository, _, _, _), .tags(let repository, _):
                    repository
                default: nil
                }
            if let repository {
                #expect(!repository.path.contains(".."), "\(target)")
                let full =
                    (try? Reference(domain: "x", path: repository.path, tag: nil)) ?? (try? Reference(repository.path))
                #expect(full != nil, "\(target)")
            }
        }
    }
}
