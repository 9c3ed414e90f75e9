import Clusterfile
import OCI
import Report
import Testing

@Suite("clusters made in code")
struct CheckTests {
    private func cluster() throws -> Cluster {
        Cluster(
            name: "demo", image: try Reference("hello"),
            hosts: [HostGroup(addresses: try [IPAddress](range: "192.168.0.2-4"), roles: ["master"])])
    }

    @Test("a right one has no problem, and passes")
    func right() throws {
        #expect(try cluster().problems == [])
        #expect(try cluster().check() == [])
    }

    @Test("the rules of files hold, and all mistakes come together")
    func wrong() throws {
        var cluster = try cluster()
        cluster.name = "Demo"
        cluster.hosts = []
        cluster.environment = ["a b": "c"]
        cluster.ssh.port = 0
        do throws(Failure) {
            try cluster.check()
            Issue.record("a wrong cluster was accepted")
        } catch {
            #expect(error.kind == .invalidInput)
            #expect(error.what.split(separator: ";").count == 4, "\(error.what)")
        }
    }

    @Test("warnings are given back, and are no mistakes")
    func warnings() throws {
        var cluster = try cluster()
        cluster.ssh.password = .literal(.init("hunter2"))
        let warnings = try cluster.check()
        #expect(warnings.count == 1 && warnings[0].hasPrefix("the password itself stands here"))
        cluster.hosts[0].addresses.removeLast()
        #expect(throws: Failure.self) { try cluster.check() }
        cluster.hosts[0].count = 2
        #expect(try cluster.check().count == 2)
    }

    @Test("problems name fields as the written file has them")
    func paths() throws {
        var cluster = try cluster()
        let repeated = try #require(IPAddress("192.168.0.3"))
        cluster.hosts.append(HostGroup(addresses: [repeated], roles: ["node"], labels: ["a b": "c"]))
        cluster.plugins = [Plugin(name: "a", kind: .shell, phases: [], scope: ["nodes"], data: "x")]
        #expect(
            cluster.problems.map(\.path) == [
                "spec.hosts[1].labels.a b", "spec.hosts[1].ips[0]", "plugins[0].action", "plugins[0].scope[0]",
            ])
        #expect(cluster.problems[1].related == "spec.hosts[0].ips[1]")
    }

    @Test("a taint that was made in code is checked, too")
    func taints() throws {
        var cluster = try cluster()
        cluster.hosts[0].taints = [
            Taint(key: "a b", effect: .noExecute), Taint(key: "a", value: "-", effect: .noExecute),
        ]
        #expect(cluster.problems.map(\.path) == ["spec.hosts[0].taints[0]", "spec.hosts[0].taints[1]"])
    }
}
