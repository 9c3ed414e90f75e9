import FoundationEssentials
import Report
import TestSupport
import Testing

@testable import OCI

@Suite struct ReferrerTests {
    private let document = Descriptor(mediaType: MediaType.manifest, digest: .of("d"), size: 9)
    private let subject = #""subject":{"mediaType":"m","digest":"sha256:\#(Digest.of("s").hex)","size":1}"#

    private func fields(_ members: String) -> ReferrerFields? { ReferrerFields(Data("{\(members)}".utf8)) }

    @Test func theEntryOfAList() throws {
        let config = #""config":{"mediaType":"c","digest":"x","size":0}"#
        let own = try #require(fields(#"\#(subject),\#(config),"artifactType":"t","annotations":{"a":"b"}"#))
        #expect(own.subject?.digest == .of("s"))
        let entry = own.entry(for: document)
        #expect(entry.artifactType == "t")
        #expect(entry.annotations == ["a": "b"])
        #expect((entry.digest, entry.size, entry.mediaType) == (document.digest, 9, MediaType.manifest))
        // Empty or missing: the configuration's type.
        #expect(fields(#"\#(subject),\#(config),"artifactType":"""#)?.entry(for: document).artifactType == "c")
        #expect(fields("\(subject),\(config)")?.entry(for: document).artifactType == "c")
        #expect(fields(subject)?.entry(for: document).artifactType == nil)
        #expect(fields(config)?.subject == nil)
        #expect(fields(#""subject":7"#) == nil)
    }

    @Test func tags() throws {
        let short = try #require(Digest(algorithm: .sha256, hex: String(repeating: "a", count: 64)))
        let long = try #require(
            Digest(algorithm: .sha512, hex: String(repeating: "b", count: 64) + String(repeating: "c", count: 64)))
        #expect(short.referrersTag == "sha256-" + String(repeating: "a", count: 64))
        #expect(long.referrersTag == "sha512-" + String(repeating: "b", count: 64))
        for tag in [short.referrersTag, long.referrersTag] {
            #expect(try Reference(domain: "r.test", path: "x", tag: tag).tag == tag)
        }
    }
}

@Suite struct PercentEncodingTests {
    @Test func onlyUnreservedCharactersStay() {
        #expect(percentEncoded("aZ09-._~") == "aZ09-._~")
        #expect(percentEncoded("sha256:a/b c&d=é+%") == "sha256%3Aa%2Fb%20c%26d%3D%C3%A9%2B%25")
        #expect(percentDecoded("a%2fb%2Fc") == "a/b/c")
        for broken in ["%", "%2", "%zz", "a%2", "%00", "%7f", "%0a", "\u{1}", "%ff", "%c3"] {
            #expect(percentDecoded(broken) == nil, "\(broken)")
        }
    }

    @Test func whatIsEncodedComesBack() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<2000 {
            let scalars = (0..<Int.random(in: 0...20, using: &random)).compactMap { _ in
                Unicode.Scalar(UInt32.random(in: 0x20...0x2FFF, using: &random))
            }
            let text = String(String.UnicodeScalarView(scalars.filter { $0.value != 0x7F }))
            let encoded = percentEncoded(text)
            #expect(encoded.utf8.allSatisfy { $0 < 0x80 && $0 > 0x20 })
            #expect(percentDecoded(encoded) == text)
        }
    }
}

extension Digest {
    /// Some digest, another one for each text.
    fileprivate static func of(_ text: String) -> Digest {
        let byte = text.utf8.reduce(UInt8(1)) { $0 &* 31 &+ $1 }
        guard let digest = Digest(algorithm: .sha256, bytes: [UInt8](repeating: byte, count: 32)) else {
            preconditionFailure("32 bytes make a digest")
        }
        return digest
    }
}
