import OCI
import Report
import TestSupport
import Testing

@Suite("Image names")
struct ReferenceTests {
    static let hex = String(repeating: "ab", count: 32)

    @Test(
        "are normalised as Docker does it",
        arguments: [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
            ("grafana/loki:2", "docker.io/grafana/loki:2", "grafana/loki:2"),
            ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("k8s.gcr.io/pause:3.2", "k8s.gcr.io/pause:3.2", "k8s.gcr.io/pause:3.2"),
            (
                "registry.k8s.io/coredns/coredns:v1.8.0", "registry.k8s.io/coredns/coredns:v1.8.0",
                "registry.k8s.io/coredns/coredns:v1.8.0"
            ),
            ("a/foo--bar__baz.qux:X_y-1", "docker.io/a/foo--bar__baz.qux:X_y-1", "a/foo--bar__baz.qux:X_y-1"),
            ("a@sha256:\(hex)", "docker.io/library/a@sha256:\(hex)", "a@sha256:\(hex)"),
            ("quay.io/a/b:t@sha256:\(hex)", "quay.io/a/b:t@sha256:\(hex)", "quay.io/a/b:t@sha256:\(hex)"),
        ])
    func normalised(text: String, canonical: String, familiar: String) throws {
        let reference = try Reference(text)
        #expect(reference.description == canonical)
        #expect(reference.familiar == familiar)
        #expect(try Reference(reference.description) == reference)
        #expect(try Reference(reference.familiar) == reference)
    }

    @Test(
        "that are none are refused",
        arguments: [
            "", ":", "/", "a/", "/a", "a//b", "A/b/C", "nginx:", "nginx:.x", "nginx:a b", "a:b:c/d", "a..b", "a_.b",
            "-a", "a-",
            "a@sha256:12", "a@md5:\(hex)", "a@sha256:\(hex.uppercased())", "a@", "exa mple.org/a", "example.org:0/a",
            "example.org:99999/a", "..", "../a", "example.org/../a", "a@sha256:../../etc/passwd", "[::1/a", "é/a",
            String(repeating: "a", count: 256),
        ])
    func refused(text: String) {
        #expect(throws: Failure.self) { try Reference(text) }
    }

    @Test("keep tag and digest")
    func both() throws {
        let reference = try Reference("quay.io/a/b:t@sha256:\(Self.hex)")
        #expect(reference.tag == "t")
        #expect(reference.digest?.hex == Self.hex)
        #expect(reference.domain == "quay.io")
        #expect(reference.path == "a/b")
    }

    @Test("random text never crashes the parser, and what it takes survives a round trip")
    func random() {
        var generator = SeededGenerator(seed: 7)
        let alphabet = Array("ab0.:/@-_[]Zsha256é ")
        for _ in 0..<20_000 {
            let text = String(
                (0..<Int.random(in: 0...24, using: &generator)).compactMap { _ in
                    alphabet.randomElement(using: &generator)
                })
            if let reference = try? Reference(text) {
                #expect((try? Reference(reference.description)) == reference, "\(text)")
            }
        }
    }
}
