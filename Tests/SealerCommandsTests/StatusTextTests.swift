import FoundationEssentials
import Testing

@testable import ApplyEngine
@testable import SealerCommands

@Suite("A cluster's status for people")
struct StatusTextTests {
    private static func status(isRunning: Bool = true, drift: [String]?, problems: [String] = []) -> ClusterStatus {
        ClusterStatus(
            name: "shop", change: nil, image: "shop:1", imageDigest: "sha256:00", kubernetes: "v1.20.2",
            isRunning: isRunning,
            nodes: [
                .init(
                    host: "10.0.0.2", name: "m1", roles: ["master"], address: "10.0.0.2", state: "Ready",
                    version: "v1.20.2")
            ],
            applications: [], certificates: [], drift: drift, problems: problems)
    }

    private static func lines(_ status: ClusterStatus) -> [String] {
        StatusText(status: status, source: "--name shop").text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { String($0) }
    }

    @Test("is short when all is well")
    func fine() {
        #expect(
            Self.lines(Self.status(drift: [])) == [
                "cluster:       shop",
                "image:         shop:1  sha256:00",
                "Kubernetes:    v1.20.2",
                "certificates:  none yet",
                "applications:  none",
                "",
                "HOST      NODE  ROLES   ADDRESS   STATE  KUBELET",
                "10.0.0.2  m1    master  10.0.0.2  Ready  v1.20.2",
                "",
                "drift: none, the cluster is what its Clusterfile says",
            ])
    }

    @Test("lists the drift with the command that mends it")
    func drift() {
        #expect(
            Self.lines(Self.status(drift: ["label m1"])).suffix(2) == [
                "drift, which 'sealer apply --name shop' would mend:", "  label m1",
            ])
    }

    @Test("lists the problems, made fit to print, and says that the drift cannot be told")
    func problems() {
        let lines = Self.lines(
            Self.status(isRunning: false, drift: nil, problems: ["10.0.0.3: no route to host", "a\u{1b}[2Jb"]))
        #expect(
            lines.suffix(5) == [
                "problems:", "  10.0.0.3: no route to host", "  ab", "",
                "drift: what would have to be done cannot be told",
            ])
        #expect(lines.first == "cluster:       shop, which was not seen to run")
        #expect(lines.contains("certificates:  none that can be seen"))
    }

    @Test("as JSON has the problems always, and the drift only when it can be told")
    func json() throws {
        func text(_ status: ClusterStatus) throws -> String {
            String(decoding: try JSONEncoder().encode(status), as: UTF8.self)
        }
        let fine = try text(Self.status(drift: []))
        #expect(fine.contains("\"drift\":[]") && fine.contains("\"problems\":[]"), "\(fine)")
        let bad = try text(Self.status(drift: nil, problems: ["no"]))
        #expect(!bad.contains("\"drift\"") && bad.contains("\"problems\":[\"no\"]"), "\(bad)")
    }
}
